"""The interface of sparse convolution engines, and which one is in use.

Offers `Engine`, `ENGINES`, `current_engine` and `use_engine`. The environment variable
``LIMA_BENCH_ENGINE`` names the engine; without it the default is `DEFAULT_ENGINE`. An engine is any
object with the one method below; it takes any `KernelMap` and stores nothing in it but caches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from lima_bench.common.registry import Registry
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap

VARIABLE = "LIMA_BENCH_ENGINE"
DEFAULT_ENGINE = "reference"


class Engine(Protocol):
    """What turns features on one set of cells into features on another."""

    def convolve(
        self,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        """``out[i] = sum over k of features[table[i, k]] @ weight[k]``; differentiable in both."""
        ...


_HERE = "lima_bench.lima.backbones.sparse"
ENGINES: Registry[Engine] = Registry("engine", {"reference": f"{_HERE}.reference:REFERENCE"})

_chosen: list[str] = []


def current_engine() -> Engine:
    """The engine in use.

    Raises:
        UserError: The environment variable names no engine.
    """
    if _chosen:
        return ENGINES.get(_chosen[-1])
    return ENGINES.get(os.environ.get(VARIABLE, DEFAULT_ENGINE), where=VARIABLE)


@contextmanager
def use_engine(name: str) -> Iterator[Engine]:
    """Use the engine `name` inside a with-block, whatever the environment says."""
    engine = ENGINES.get(name)
    _chosen.append(name)
    try:
        yield engine
    finally:
        _chosen.pop()

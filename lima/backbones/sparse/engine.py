"""The interface of sparse convolution engines, and which one computes where.

Offers `Engine`, `ENGINES`, `engine_on` and `use_engine`. The environment variable
``LIMA_BENCH_ENGINE`` names the engine; without it each kind of device has its own, the first of
`DEFAULTS` that can compute there. Passing over the first is said once, aloud: it costs speed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.common.registry import Registry
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap

VARIABLE = "LIMA_BENCH_ENGINE"


class Engine(Protocol):
    """What turns features on one set of cells into features on another."""

    def why_not(self, device: torch.device) -> str | None:
        """Why it cannot compute on `device`, as a sentence; None where it can."""
        ...

    def convolve(
        self,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        """``out[i] = sum over k of features[table[i, k]] @ weight[k]``; differentiable in both."""
        ...


_HERE = "lima_bench.lima.backbones.sparse"
ENGINES: Registry[Engine] = Registry(
    "engine",
    {
        "reference": f"{_HERE}.reference:REFERENCE",
        "fused": f"{_HERE}.fused:FUSED",
        "spconv": f"{_HERE}.spconv_cuda:SPCONV",
    },
)

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("fused", "reference"),
    "cuda": ("spconv", "reference"),
}
"""By kind of device, the engines from first to last choice; the last computes anywhere."""

_chosen: list[str] = []


def engine_on(device: torch.device) -> Engine:
    """The engine that computes on `device`.

    Raises:
        UserError: The environment variable names no engine, or one that cannot compute there.
    """
    return ENGINES.get(name_on(device), where=VARIABLE)


def name_on(device: torch.device) -> str:
    """Name of the engine that computes on `device`; recorded with every result.

    Raises:
        UserError: As `engine_on`.
    """
    wanted = _chosen[-1] if _chosen else os.environ.get(VARIABLE)
    return _default(device.type) if wanted is None else _able(wanted, device.type)


@contextmanager
def use_engine(name: str) -> Iterator[Engine]:
    """Use the engine `name` inside a with-block, whatever the environment says."""
    engine = ENGINES.get(name)
    _chosen.append(name)
    try:
        yield engine
    finally:
        _chosen.pop()


@cache
def _able(name: str, kind: str) -> str:
    reason = ENGINES.get(name, where=VARIABLE).why_not(torch.device(kind))
    if reason is not None:
        raise UserError(
            f"engine {name}", reason, f"Unset {VARIABLE}: the default for {kind} is then taken."
        )
    return name


@cache
def _default(kind: str) -> str:
    names = DEFAULTS.get(kind, ("reference",))
    for name in names[:-1]:
        reason = ENGINES.get(name).why_not(torch.device(kind))
        if reason is None:
            return name
        message = f"Sparse convolution is slower than it could be: no {name} engine. {reason}"
        warnings.warn(message, stacklevel=4)
    return names[-1]

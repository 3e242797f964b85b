"""``lima-bench doctor gpu``: the GPUs, and which engine convolves on which device.

Offers `engines_of` and `gpus`, lines of (name, text).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lima_bench.common.errors import UserError

if TYPE_CHECKING:
    import torch

Line = tuple[str, str]


def gpus() -> Iterator[Line]:
    """The CPU's and every GPU's engine; also why another engine does not compute there.

    Raises:
        UserError: There is no GPU; after the lines about the CPU.
    """
    import torch

    from lima_bench.lima.backbones.sparse.spconv_library import distributions

    yield from engines_of(torch.device("cpu"))
    if not torch.cuda.is_available():
        raise UserError("gpu", "torch sees no CUDA device.", "Use --device cpu.")
    yield "spconv", " and ".join(distributions()) or "not installed"
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield f"cuda:{number}", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"
        yield from engines_of(torch.device("cuda", number))
        yield from _agreement(torch.device("cuda", number))


def engines_of(device: torch.device) -> Iterator[Line]:
    """The engine that convolves on `device`, and what stands against each of the others."""
    from lima_bench.lima.backbones.sparse.engine import ENGINES, name_on

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reasons follow
        yield str(device), f"sparse convolution: {name_on(device)}"
    for name in ENGINES.names():
        if (reason := ENGINES.get(name).why_not(device)) is not None:
            yield f"  not {name}", reason


def _agreement(device: torch.device) -> Iterator[Line]:
    """How far spconv is from float64, where it computes at all."""
    from lima_bench.lima.backbones.sparse.spconv_cuda import SPCONV

    if SPCONV.why_not(device) is None:
        for kernels, found in SPCONV.trial(device).items():
            yield "  spconv", f"{kernels}, largest errors against float64: {found}"

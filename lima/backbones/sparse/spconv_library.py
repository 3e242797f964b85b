"""spconv itself: whether it can be had, and which of its kernels may run. Loaded on first use.

Offers `Kernels`, `why_missing`, `distributions`, `library` and `kernels`: the only module that
touches what spconv keeps for itself. Read in spconv 2.3.6 and 2.3.8, whose Python is the same here.

What spconv leaves open, and what is done about it:

- It times its kernels on the first problem of every pair of widths and keeps the fastest, under a
  key that does not say whether TF32 was allowed. Exact and TF32 convolutions therefore have
  tuners of their own, and so has the trial before first use, whose problem is far too small.
- Which kernel is fastest may differ from run to run, and with it the order of additions. Each
  kernel alone repeats its bits: rows have one owner, and slices of a weight gradient are added in
  order (a semaphore, not atomics). `Kernels.repeatable` therefore chooses by rule, not by time.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from lima_bench.common.optional import available

_NAME = re.compile(r"spconv(-cu\d+)?")

WEIGHT_SLICES = 16
"""Into how many slices a repeatable weight gradient cuts the rows: enough blocks for a GPU."""

_WEIGHT_GRADIENT = 2
"""As spconv numbers its operations: forward, gradient of the input, of the weight."""

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Kernels:
    """Which of spconv's kernels may run.

    Attributes:
        tf32: Tensor cores that round their inputs to 10 bits of mantissa; sums stay float32.
        repeatable: Chosen by rule, so that another run of the program adds in the same order.
        trial: For the check before first use: what it finds fastest binds nobody.
    """

    tf32: bool = False
    repeatable: bool = False
    trial: bool = False


def distributions() -> tuple[str, ...]:
    """The installed distributions that bring a package called spconv, with their versions."""
    found = {
        re.sub(r"[-_.]+", "-", each.name).lower(): each.version
        for each in importlib.metadata.distributions()
        if each.name and _NAME.fullmatch(re.sub(r"[-_.]+", "-", each.name).lower())
    }
    return tuple(f"{name} {version}" for name, version in sorted(found.items()))


def why_missing() -> str | None:
    """Why there is no spconv with CUDA kernels, as sentences with the remedy; None if there is."""
    if not available("spconv"):
        return f"spconv is not installed: {_remedy()}."
    try:
        built_without_cuda = library().ops.CPU_ONLY_BUILD
    except Exception as error:  # a foreign library's import may end in anything
        why = str(error).partition("\n")[0] or type(error).__name__
        return f"{_installed()} cannot be imported ({why}): {_remedy()}."
    if built_without_cuda:
        return (
            f"{_installed()}; what Python imports has no CUDA kernels. All distributions of spconv "
            f"share one folder and overwrite each other: {_uninstall()}, then {_remedy()}."
        )
    return None


def _installed() -> str:
    names = distributions()
    listed = " and ".join(names) or "a spconv of unknown origin"
    return f"Installed: {listed}"


def _remedy() -> str:
    both = ' or "lima-bench[cu120]"' if sys.version_info < (3, 12) else ""
    return f'pip install "lima-bench[cu126]"{both}'


def _uninstall() -> str:
    names = [name.partition(" ")[0] for name in distributions()]
    cumm = [name.replace("spconv", "cumm") for name in names]
    return " ".join(("pip uninstall -y", *names, *cumm))


@dataclass(frozen=True)
class Library:
    """The modules of spconv that are used.

    Attributes:
        ops: Its convolutions as functions of tensors.
        constants: Its global settings.
    """

    ops: ModuleType
    constants: ModuleType


@cache
def library() -> Library:
    """Import spconv: seconds with CUDA kernels, which it lists."""
    ops = importlib.import_module("spconv.pytorch.ops")
    return Library(ops, importlib.import_module("spconv.constants"))


@contextmanager
def kernels(which: Kernels) -> Iterator[ModuleType]:
    """The functions of spconv, held to the kernels that may run.

    spconv reads its settings from its modules at every call, so calls are made one at a time; they
    only queue work on the GPU.
    """
    with _LOCK, ExitStack() as settings:
        for module, values in _settings(which):
            settings.enter_context(_replaced(module, values))
        yield library().ops


@cache
def _settings(which: Kernels) -> tuple[tuple[ModuleType, dict[str, Any]], ...]:
    """What stands in for spconv's own settings and tuners, by module and name."""
    ops, constants = library().ops, library().constants
    allowed = (constants, {"SPCONV_ALLOW_TF32": which.tf32})
    if ops.CPU_ONLY_BUILD:
        return (allowed,)
    if which.repeatable:
        # Its tuners in Python compute the same as those in C++, and can be told what to choose.
        chosen = {"SPCONV_CPP_GEMM": False, "CONV": _ruled(ops.CONV), "GEMM": _ruled(ops.GEMM)}
        slices = {"SPCONV_BWD_SPLITK": [WEIGHT_SLICES]}
        return allowed, (ops, chosen), (importlib.import_module("spconv.algo"), slices)
    every_gemm = [each for group in ops.GEMM.static_key_to_desps.values() for each in group]
    tuners = {
        "CONV_CPP": type(ops.CONV_CPP)(ops.CONV.all_desps),
        "GEMM_CPP": type(ops.GEMM_CPP)(every_gemm),
    }
    return allowed, (ops, tuners)


def _ruled(tuner: Any) -> Any:
    """A copy of spconv's tuner that has one kernel to choose from for every pair of widths."""
    ruled = copy.copy(tuner)
    for name in vars(tuner):
        if name.endswith("_cache"):
            setattr(ruled, name, {})

    def only(first: Any, second: Any, third: Any, *rest: Any, **named: Any) -> list[Any]:
        fitting = tuner.get_all_available(first, second, third, *rest, **named)
        # Matrix products end in the result; convolutions always name features, weight, result.
        widths = first.dim(1), third.dim(1)
        return sorted(fitting, key=lambda kernel: _rank(kernel, *widths))[:1]

    ruled.get_all_available = only
    return ruled


def _rank(kernel: Any, first_width: int, last_width: int) -> tuple[Any, ...]:
    """Tensor cores first, then whole vectors read at once, then the least overhang of tiles.

    Of what is equal so far the largest tile; the name makes the order total.
    """
    rows, columns, _ = kernel.tile_shape
    operation = getattr(kernel, "op_type", None)
    backward = operation is not None and operation.value > 0
    overhang = _covered(first_width if backward else last_width, columns)
    if operation is not None and operation.value == _WEIGHT_GRADIENT:
        overhang *= _covered(last_width, rows)
    slow = kernel.tensorop[0] <= 0, kernel.access_per_vector == 0
    return *slow, overhang, -rows * columns, str(kernel)


def _covered(width: int, tile: int) -> int:
    """`width`, rounded up to whole tiles."""
    return -(-width // tile) * tile


@contextmanager
def _replaced(module: ModuleType, values: dict[str, Any]) -> Iterator[None]:
    """Other values of some names of `module`, inside a with-block."""
    before = {name: getattr(module, name) for name in values}
    try:
        vars(module).update(values)
        yield
    finally:
        vars(module).update(before)

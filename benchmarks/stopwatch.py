"""CPU time of a differentiable function, forward and backward, while it runs inside a program.

Offers `Stopwatch`. A wrapped call becomes one node of the graph: its forward builds the function's
own graph on detached inputs, its backward runs that graph alone, and both are timed. The results
keep their bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.backbones.sparse.engine import Engine
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap


@dataclass
class Stopwatch:
    """Adds up CPU seconds.

    Attributes:
        seconds: So far.
    """

    seconds: float = 0.0

    def call(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """``function(*tensors)``, timed in both directions."""
        result: Tensor = _Timed.apply(self, function, *tensors)  # type: ignore[no-untyped-call]
        return result

    @contextmanager
    def inside(self, function: type[Function]) -> Iterator[None]:
        """Time a hand-written `Function`, forward and backward, while in the block."""
        parts: dict[str, Any] = {
            name: staticmethod(self._counted(getattr(function, name)))
            for name in ("forward", "backward")
        }
        with patch.multiple(function, **parts):
            yield

    def _counted(self, part: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            started = time.process_time()
            try:
                return part(*arguments)
            finally:
                self.seconds += time.process_time() - started

        return counted


@dataclass(frozen=True)
class TimedEngine:
    """An engine whose convolutions are timed."""

    inner: Engine
    stopwatch: Stopwatch

    def why_not(self, device: torch.device) -> str | None:
        """As the engine inside."""
        return self.inner.why_not(device)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        """As the engine inside."""
        convolve = self.inner.convolve
        return self.stopwatch.call(lambda x, w: convolve(x, w, kernel_map), features, weight)


class _Timed(Function):
    @staticmethod
    def forward(
        ctx: Any,
        stopwatch: Stopwatch,
        function: Callable[..., Tensor],
        *tensors: Tensor,
    ) -> Tensor:
        started = time.process_time()
        inputs = [one.detach().requires_grad_(one.requires_grad) for one in tensors]
        with torch.enable_grad():
            result = function(*inputs)
        stopwatch.seconds += time.process_time() - started
        ctx.stopwatch, ctx.inputs, ctx.result = stopwatch, inputs, result
        return result.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        started = time.process_time()
        wanted = [one for one in ctx.inputs if one.requires_grad]
        found = iter(torch.autograd.grad(ctx.result, wanted, upstream, allow_unused=True))
        gradients = [next(found) if one.requires_grad else None for one in ctx.inputs]
        ctx.stopwatch.seconds += time.process_time() - started
        return None, None, *gradients

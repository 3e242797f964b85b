"""Rows by number, some of them several times, with a backward that is fast and repeatable.

Offers `take_rows`.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lima_bench.datasets.sample import Float32
from lima_bench.lima.compiled import compiled
from lima_bench.lima.threads import over

ROWS_PER_TASK = 8192
"""Fewer than this are not worth waking a thread for."""


def take_rows(
    features: Float[Tensor, "sources width"], rows: Int[Tensor, " rows"]
) -> Float[Tensor, "rows width"]:
    """``features[rows]``; gradients of a row are summed in the order of `rows`.

    Args:
        features: On any device.
        rows: int32 or int64, on the same one.
    """
    if _COMPILED and features.is_cpu and features.dtype is torch.float32:
        taken: Tensor = _Take.apply(features, rows)  # type: ignore[no-untyped-call]
        return taken
    # Of torch's ways to index rows, embedding has the fast and repeatable backward.
    return functional.embedding(rows, features)


class _Take(Function):
    @staticmethod
    def forward(
        ctx: Any, features: Float[Tensor, "sources width"], rows: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows width"]:
        ctx.save_for_backward(rows)
        ctx.n_sources = len(features)
        return torch.index_select(features, 0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "rows width"]) -> tuple[Tensor, None]:
        rows = ctx.saved_tensors[0].contiguous().numpy()
        out = torch.zeros(ctx.n_sources, grad.shape[1])
        given, sums, n_sources = grad.contiguous().numpy(), out.numpy(), ctx.n_sources
        n_tasks = max(1, -(-len(rows) // ROWS_PER_TASK))
        over(
            n_tasks,
            lambda first, last: _sum_rows(
                first * n_sources // n_tasks, last * n_sources // n_tasks, rows, given, sums
            ),
        )
        return out, None


@compiled
def _sum_rows(
    first: int, last: int, rows: npt.NDArray[np.integer[Any]], given: Float32, sums: Float32
) -> None:
    """Add to the sources from `first` to `last` what their copies were given, in order."""
    for n in range(len(rows)):
        source = rows[n]
        if first <= source < last:
            target, more = sums[source], given[n]
            for channel in range(len(more)):
                target[channel] += more[channel]


_COMPILED = not inspect.isfunction(_sum_rows)
"""Without numba the loop would take seconds."""

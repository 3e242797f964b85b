"""How much of the classes a teacher's features hold: a linear classifier on single cells.

Offers `Cells`, `cells_of` and `probe`. A measure in 2D, before any point cloud is involved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import IGNORE
from lima_bench.lima.teachers.load import Teacher

_ITERATIONS = 100
_RIDGE = 1e-4


@dataclass(frozen=True)
class Cells:
    """Features of grid cells with the class that the cell's middle shows."""

    features: Float[Tensor, "cells width"]
    labels: Int[Tensor, " cells"]


@dataclass(frozen=True)
class ProbeScore:
    """Result of a probe.

    Attributes:
        miou: Mean over the classes that occur in the test cells, in 0..1.
        accuracy: Share of cells that are right.
        iou: Per class; NaN for classes that do not occur.
    """

    miou: float
    accuracy: float
    iou: tuple[float, ...]


def cells_of(
    teacher: Teacher,
    pictures: Iterable[tuple[UInt8[Tensor, "3 H W"], npt.NDArray[np.int64]]],
) -> Cells:
    """Features of every labelled cell of `pictures` (pixels, train ids per pixel)."""
    stride = teacher.card.stride
    features, labels = [], []
    for pixels, ids in pictures:
        grid = teacher(pixels[None].float() / 255)[0]
        middle = torch.from_numpy(ids[stride // 2 :: stride, stride // 2 :: stride])
        middle = middle[: grid.shape[0], : grid.shape[1]]
        known = middle != IGNORE
        features.append(grid[known])
        labels.append(middle[known])
    return Cells(torch.cat(features), torch.cat(labels))


def probe(train: Cells, test: Cells, n_classes: int, *, n_cells: int, seed: int) -> ProbeScore:
    """Fit a softmax regression on `n_cells` cells of `train` and score it on all of `test`.

    Features are standardised by the training cells; plain cross-entropy with a ridge, L-BFGS.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "probe"))
    chosen = torch.randperm(len(train.labels), generator=generator)[:n_cells]
    x, y = train.features[chosen], train.labels[chosen]
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    weight, bias = _fit((x - mean) / std, y, n_classes)
    guess = ((test.features - mean) / std @ weight + bias).argmax(1)
    return _score(guess, test.labels, n_classes)


def _fit(
    x: Float[Tensor, "cells width"], y: Int[Tensor, " cells"], n_classes: int
) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(x.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight + bias, y)
        loss = loss + _RIDGE * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _score(
    guess: Int[Tensor, " cells"], truth: Int[Tensor, " cells"], n_classes: int
) -> ProbeScore:
    counts = torch.bincount(truth * n_classes + guess, minlength=n_classes**2)
    table = counts.reshape(n_classes, n_classes).double()
    hit, union = table.diag(), table.sum(0) + table.sum(1) - table.diag()
    present = table.sum(1) > 0
    iou = torch.where(present, hit / union.clamp(min=1), torch.nan)
    accuracy = float(hit.sum() / table.sum())
    return ProbeScore(float(iou[present].mean()), accuracy, tuple(iou.tolist()))

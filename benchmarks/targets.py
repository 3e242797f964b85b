"""What a detector's head is to learn, built for a batch: at once against object after object.

Offers `rows`. Both make the heat maps and codes of CenterPoint on nuScenes' map, on the CPU, and
agree before they are timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.rows import Row, interleave
from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.centerpoint.settings import CenterPointSettings
from lima_bench.downstream.detection.centerpoint.targets import build_targets
from lima_bench.downstream.detection.head import MapGrid

GRID = MapGrid(lower=(-51.2, -51.2), cell_m=(0.8, 0.8), shape=(128, 128))
LABELS = ((0,), (1, 4), (2, 3), (9,), (6, 7), (5, 8))
"""As nuScenes' classes are grouped."""
N_CLASSES = 10
FRAMES = 4
"""Of a batch on one device."""
OBJECTS = {"": 35, " crowded": 150}
"""Boxes per frame: usual and many."""
SIDE = 5
"""Cells of a bump: its radius is 2 for all boxes of ordinary size."""


def rows(quick: bool) -> list[Row]:
    """Targets of usual and of crowded frames."""
    return [_row(kind, 3 if quick else n, 3 if quick else 9) for kind, n in OBJECTS.items()]


def _row(kind: str, n_objects: int, rounds: int) -> Row:
    truth = [_truth(n_objects, seed) for seed in range(FRAMES)]
    settings = CenterPointSettings()

    def at_once() -> list[Tensor]:
        found = build_targets(truth, LABELS, GRID, settings)
        return [part for one in found for part in (one.heatmap, one.code)]

    work: dict[str, Callable[[], list[Tensor]]] = {
        "ours": at_once,
        "object by object": lambda: _one_by_one(truth),
    }
    pairs = zip(*(call() for call in work.values()), strict=True)
    error = max(float((a - b).abs().max()) for a, b in pairs if a.numel())
    assert error < 1e-4, error
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.1f} ms for {FRAMES} frames of {n_objects} objects, "
        f"{len(LABELS)} groups"
    )
    ratio = timings.ratio("object by object", "ours")
    return Row.of(f"targets/centerpoint{kind} over object by object", ratio, "x", note=note)


def _truth(n: int, seed: int) -> Truth:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(n, 9, generator=generator)
    boxes[:, :2] = (boxes[:, :2] * 2 - 1) * 50
    boxes[:, 3:6] = boxes[:, 3:6] * 4 + 0.4
    return Truth(boxes, torch.randint(0, N_CLASSES, (n,), generator=generator))


def _one_by_one(truth: Sequence[Truth]) -> list[Tensor]:
    """The usual form: a loop over groups, frames and objects, each drawn by itself."""
    found = []
    for labels in LABELS:
        heat = torch.zeros(len(truth), len(labels), *GRID.shape)
        codes = []
        for frame, one in enumerate(truth):
            for box, label in zip(one.boxes, one.label.tolist(), strict=True):
                if label in labels:
                    codes.append(_learn(box, heat[frame, labels.index(label)]))
        found += [heat, torch.stack(codes) if codes else torch.zeros(0, 10)]
    return found


def _learn(box: Tensor, heat: Tensor) -> Tensor:
    """Draw one object and return its code."""
    place = (box[:2].double() - GRID.lower[0]) / GRID.cell_m[0]
    column, row = (int(one) for one in place)
    far = torch.arange(SIDE) - SIDE // 2
    bump = torch.exp(-(far[:, None] ** 2 + far**2) / (2 * (SIDE / 6) ** 2))
    top, left = max(row - 2, 0), max(column - 2, 0)
    part = heat[top : row + 3, left : column + 3]
    cut = bump[top - row + 2 :, left - column + 2 :][: part.shape[0], : part.shape[1]]
    torch.maximum(part, cut, out=part)
    offset = (place - place.trunc()).float()
    yaw = float(box[6])
    turn = torch.tensor([math.sin(yaw), math.cos(yaw)])
    return torch.cat((offset, box[2:3], box[3:6].log(), turn, box[7:]))

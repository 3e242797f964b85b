"""Frames and maps that CenterPoint's tests share, small enough to look at.

Offers `FACTS`, `GRID`, `recipe_of`, `truth_of`, `random_truth` and `maps_of`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.centerpoint.code import BRANCHES
from lima_bench.downstream.detection.centerpoint.settings import CenterPointRecipe
from lima_bench.downstream.detection.centerpoint.targets import Targets
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.settings import SIX_GROUPS

FACTS = NuScenes.card.detection
LABELS = tuple(tuple(FACTS.names.index(name) for name in group) for group in SIX_GROUPS)
GRID = MapGrid(lower=(-12.8, -9.6), cell_m=(0.8, 0.8), shape=(24, 32))
BOX = (0.1, 0.1, -1.0, 4.6, 1.9, 1.7, 0.3, 2.0, -1.0)


def recipe_of(name="centerpoint", groups=SIX_GROUPS, **head) -> CenterPointRecipe:
    """A recipe whose head has these settings; how training is done matters to none of them."""
    settings = CenterPointRecipe.model_fields["head"].default.model_dump() | head
    filled = CenterPointRecipe.model_fields["head"].annotation.model_validate(settings)
    return CenterPointRecipe.model_construct(head=filled, groups=groups)


def truth_of(*objects: tuple[str, dict[str, float]]) -> Truth:
    """Objects of one frame: a class, and which columns differ from `BOX`."""
    names = ("x", "y", "z", "length", "width", "height", "yaw", "vx", "vy")
    rows = [[change.get(n, v) for n, v in zip(names, BOX, strict=True)] for _, change in objects]
    label = [FACTS.names.index(name) for name, _ in objects]
    return Truth(torch.tensor(rows).view(-1, 9), torch.tensor(label, dtype=torch.int64))


def random_truth(n: int, seed: int, reach: float = 1.2) -> Truth:
    """Boxes of all classes, none so large that its bump reaches farther than the least: two cells.

    Some are off the map, some have no velocity.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(n, 9, generator=generator) * 2 - 1
    half = torch.tensor([12.8, 9.6, 2.0, 0, 0, 0, 9.0, 10.0, 10.0])
    boxes = spread * half * torch.tensor([reach, reach, *[1.0] * 7])
    boxes[:, 3:6] = torch.rand(n, 3, generator=generator) * 4 + 0.3
    boxes[::5, 7:] = torch.nan
    return Truth(boxes, torch.randint(0, len(FACTS.names), (n,), generator=generator))


def maps_of(targets: tuple[Targets, ...]) -> tuple[dict[str, Tensor], ...]:
    """Maps that say exactly what the targets ask, and nothing elsewhere."""
    return tuple(_maps_of(one) for one in targets)


def _maps_of(targets: Targets) -> dict[str, Tensor]:
    frames, _, rows, columns = targets.heatmap.shape
    found = {"heatmap": torch.where(targets.heatmap == 1, 8.0, -8.0)}
    place = (targets.frame, slice(None), targets.row, targets.column)
    codes = targets.code.split(list(BRANCHES.values()), 1)
    for (name, channels), code in zip(BRANCHES.items(), codes, strict=True):
        found[name] = torch.zeros(frames, channels, rows, columns)
        found[name][place] = code.nan_to_num()
    return found

"""A small SECOND: three classes in two groups over a map that is wider than high."""

from __future__ import annotations

import torch
from torch import Tensor

from lima_bench.datasets.detection_facts import BoxClass, DetectionFacts
from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.anchors import AnchorGrid, anchor_grid
from lima_bench.downstream.detection.second.assign import Assignment, assign
from lima_bench.downstream.detection.second.head import SecondHead
from lima_bench.downstream.detection.second.settings import (
    AnchorSettings,
    SecondRecipe,
    SecondSettings,
)
from lima_bench.lima.recipes import Length

NAMES = ("walker", "car", "cone", "stranger")
"""By label: in another order than in the groups, and the last one is in none."""
GROUPS = (("car",), ("walker", "cone"))
FACTS = DetectionFacts(
    metric="detection_cvpr_2019",
    classes=tuple(BoxClass(name=name, categories=(name,), range_m=50) for name in NAMES),
)
ANCHORS = {
    "car": AnchorSettings(size=(4.6, 2.0, 1.7), bottom_m=-1, positive=0.6, negative=0.45),
    "walker": AnchorSettings(size=(0.9, 0.7, 1.8), bottom_m=-0.9, positive=0.5, negative=0.3),
    "cone": AnchorSettings(size=(0.5, 0.5, 1.0), bottom_m=-1.3, positive=0.5, negative=0.3),
}
GRID = MapGrid((-6.0, -3.0), (0.8, 0.5), (12, 15))
LABEL = {name: number for number, name in enumerate(NAMES)}


def recipe(**changes: object) -> SecondRecipe:
    settings = SecondSettings(**{"anchors": ANCHORS, "shared": 8, "branch": 8} | changes)
    return SecondRecipe(length=Length(steps=1), groups=GROUPS, head=settings)


def anchors_of(**changes: object) -> AnchorGrid:
    return anchor_grid(recipe(**changes).head, GROUPS, FACTS, GRID)


def head_of(in_channels: int = 6, seed: int = 0, **changes: object) -> SecondHead:
    torch.manual_seed(seed)
    return SecondHead(in_channels, recipe(**changes), FACTS, GRID)


def box(name: str, x: float, y: float, yaw: float = 0.0, scale: float = 1.0) -> list[float]:
    """A box of about its anchor's size, driving."""
    one = ANCHORS[name]
    z = one.bottom_m + one.size[2] / 2
    return [x, y, z, *(scale * side for side in one.size), yaw, 1.5, -0.5]


def truth(*boxes: tuple[str, list[float]]) -> Truth:
    rows = torch.tensor([numbers for _, numbers in boxes]).reshape(-1, 9)
    return Truth(rows, torch.tensor([LABEL[name] for name, _ in boxes], dtype=torch.long))


def random_truth(seed: int, n: int = 12) -> Truth:
    """Objects on and around the map, of all sizes and headings, crowded enough to compete."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(n, 9, generator=generator)
    label = torch.randint(0, len(NAMES), (n,), generator=generator)
    size = torch.tensor([ANCHORS.get(NAMES[i], ANCHORS["car"]).size for i in label.tolist()])
    boxes[:, :2] = boxes[:, :2] * torch.tensor([14.0, 8.0]) - torch.tensor([7.0, 4.0])
    boxes[:, 2] -= 1
    boxes[:, 3:6] = size * (0.7 + 0.6 * boxes[:, 3:6])
    boxes[:, 6] = 12 * boxes[:, 6] - 6
    return Truth(boxes, label)


def random_maps(head: SecondHead, n_frames: int, seed: int = 0) -> tuple[dict[str, Tensor], ...]:
    """What the head might say, in double precision, leaves of the graph."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        {
            name: torch.randn(
                n_frames, width, *GRID.shape, generator=generator, dtype=torch.float64
            ).requires_grad_()
            for name, width in group.widths.items()
        }
        for group in head.groups
    )


def assigned(frames: list[Truth], anchors: AnchorGrid) -> Assignment:
    boxes = torch.cat([one.boxes for one in frames])
    frame = [number for number, one in enumerate(frames) for _ in one.label]
    label = torch.cat([one.label for one in frames])
    return assign(boxes, label, torch.tensor(frame, dtype=torch.long), anchors)

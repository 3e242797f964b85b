"""What CenterPoint's maps ought to say of a batch: truth -> heat maps and codes, group by group.

Offers `Targets` and `build_targets`. Without a loop over objects, on the truth's device, in float32
whatever the network computes in (detection 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.centerpoint.code import encode
from lima_bench.downstream.detection.centerpoint.gaussian import draw, radii_of
from lima_bench.downstream.detection.centerpoint.settings import CenterPointSettings
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.stacked import stacked

Labels = tuple[tuple[int, ...], ...]
"""For each group of classes, their labels."""


@dataclass(frozen=True)
class Targets:
    """What one group of classes is to learn.

    Attributes:
        heatmap: 1 at centres, less around them.
        frame: Of each object.
        row: Of the cell that each object's middle is in.
        column: Of it.
        code: As `lima_bench.downstream.detection.centerpoint.code`; NaN where not known.
    """

    heatmap: Float[Tensor, "frames classes rows columns"]
    frame: Int[Tensor, " objects"]
    row: Int[Tensor, " objects"]
    column: Int[Tensor, " objects"]
    code: Float[Tensor, "objects 10"]


def build_targets(
    truth: Sequence[Truth], labels: Labels, grid: MapGrid, settings: CenterPointSettings
) -> tuple[Targets, ...]:
    """Targets of each group.

    Left out are boxes without a volume, as in published code; objects of a class that no group has;
    those beyond the first `most_objects` of their group and frame; and, if `settings.off_map` says
    so, those whose middle is not on the map. Where it says ``clamp``, their middle is taken to be
    at the border.

    Args:
        truth: Of each frame, at least one frame.
        labels: Of each group.
        grid: Where the map lies.
        settings: Of the head.

    Raises:
        UserError: A box has a number that is none; velocities may be NaN.
    """
    found = _placed(truth, labels, grid, settings)
    classes = [len(one) for one in labels]
    cell = found.place.trunc().long()
    column, row = cell.unbind(1)
    heat = draw(
        (len(truth) * sum(classes), *grid.shape),
        found.frame * sum(classes) + found.channel,
        row,
        column,
        _radii(found.boxes, grid, settings),
    )
    maps = torch.split(heat.view(len(truth), sum(classes), *grid.shape), classes, 1)
    counts = torch.bincount(found.group, minlength=len(labels)).tolist()
    columns = (found.frame, row, column, encode(found.boxes, found.place - cell))
    parts = zip(*(torch.split(one, counts) for one in columns), strict=True)
    return tuple(Targets(one, *part) for one, part in zip(maps, parts, strict=True))


@dataclass(frozen=True)
class _Placed:
    """Objects to learn, sorted by group, then by frame.

    Attributes:
        boxes: As annotated.
        frame: Number in the batch.
        group: Number of the group of classes.
        channel: Among the classes of all groups.
        place: Of the middle, x and y in cells from the corner of the map; double.
    """

    boxes: Float[Tensor, "objects 9"]
    frame: Int[Tensor, " objects"]
    group: Int[Tensor, " objects"]
    channel: Int[Tensor, " objects"]
    place: Float[Tensor, "objects 2"]


def _placed(
    truth: Sequence[Truth], labels: Labels, grid: MapGrid, settings: CenterPointSettings
) -> _Placed:
    objects = stacked(truth)
    boxes, label, frame = objects.boxes, objects.label, objects.frame
    group, channel = _branch_of(label, labels)
    place = _places(boxes, grid, settings)
    usable = _usable(boxes, place, grid) & (group >= 0)
    kept = _first(settings.most_objects, usable, group * len(truth) + frame)
    return _Placed(*(one[kept] for one in (boxes, frame, group, channel, place)))


def _branch_of(label: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Group of each object, -1 for none, and its channel among those of all groups."""
    everyone = [(one, number) for number, members in enumerate(labels) for one in members]
    table = [(-1, -1)] * (max(everyone)[0] + 2)  # the last is for labels beyond
    for place, (one, number) in enumerate(everyone):
        table[one] = (number, place)
    group, channel = label.new_tensor(table)[label.clamp(max=len(table) - 1)].unbind(1)
    return group, channel


def _places(boxes: Tensor, grid: MapGrid, settings: CenterPointSettings) -> Tensor:
    """Middles in cells from the corner of the map."""
    doubles = boxes[:, :2].double()
    place = (doubles - doubles.new_tensor(grid.lower)) / doubles.new_tensor(grid.cell_m)
    if settings.off_map == "clamp":
        # OpenPCDet's border: half a cell short of the end, so that this still is the last cell.
        last = doubles.new_tensor((grid.shape[1] - 0.5, grid.shape[0] - 0.5))
        place = place.clamp(min=torch.zeros_like(last), max=last)
    return place


def _usable(boxes: Tensor, place: Tensor, grid: MapGrid) -> Tensor:
    """Whether a box can be learnt at a cell of the map.

    Places are cut off, not rounded down, as published: less than a cell before the first one still
    is the first one.
    """
    end = place.new_tensor((grid.shape[1], grid.shape[0]))
    return (boxes[:, 3:6] > 0).all(1) & ((place > -1) & (place < end)).all(1)


def _first(most: int, usable: Tensor, share: Tensor) -> Tensor:
    """Rows of at most so many usable objects of each share, sorted by share, else as they came."""
    key = torch.where(usable, share, torch.iinfo(share.dtype).max)
    key, order = key.sort(stable=True)
    rank = torch.arange(len(key), device=key.device) - torch.searchsorted(key, key)
    return order[usable[order] & (rank < most)]


def _radii(boxes: Tensor, grid: MapGrid, settings: CenterPointSettings) -> Tensor:
    sizes = boxes[:, 3:5].double()
    return radii_of(
        sizes / sizes.new_tensor(grid.cell_m),
        min_overlap=settings.min_overlap,
        min_radius=settings.min_radius,
        roots=settings.radius,
    )

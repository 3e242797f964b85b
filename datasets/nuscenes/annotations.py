"""Annotated boxes of a nuScenes version, as columns, and the boxes of one frame in its own frame.

Offers `Annotations`, `read_annotations`, `boxes_of` and `inside`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.datasets.nuscenes.tables import Row, read_table
from lima_bench.datasets.rigid import apply, inverse, rotation
from lima_bench.datasets.sample import Bool, Boxes, Float64, Int64

MOVING = frozenset({"vehicle.moving", "pedestrian.moving", "cycle.with_rider"})
"""Attributes that say that an object moves; a cycle with its rider counts as moving."""

MOST_SECONDS = 1.5
"""Longest gap over which a velocity is estimated; twice this for a centred difference (devkit)."""


@dataclass(frozen=True)
class Annotations:
    """Every box of a version, sorted by frame; global frame.

    Attributes:
        starts: (F + 1,) boxes ``starts[f]:starts[f + 1]`` belong to frame f, in file order.
        centre: (B, 3) metres.
        size: (B, 3) length, width, height in metres.
        turn: (B, 3, 3) rotation matrices.
        velocity: (B, 3) metres per second, NaN where it cannot be told.
        category: General category names.
        instance: Instance tokens.
        moving: (B,).
        n_points: (B,) LiDAR points as annotated.
        tells_motion: Whether the version has attributes at all.
    """

    starts: Int64
    centre: Float64
    size: Float64
    turn: Float64
    velocity: Float64
    category: tuple[str, ...]
    instance: tuple[str, ...]
    moving: Bool
    n_points: Int64
    tells_motion: bool


def read_annotations(folder: Path, samples: list[str], times_us: list[int]) -> Annotations | None:
    """The boxes of `samples` (their frame numbers are positions in this list).

    Returns:
        None when the version has no boxes at all, as the test set.

    Raises:
        UserError: A table is missing or broken.
    """
    frame_of = {token: i for i, token in enumerate(samples)}
    attributes = dict(read_table(folder, "attribute", lambda r: (r["token"], r["name"])))
    rows = _rows(folder, frame_of, attributes)
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])  # stable: file order inside a frame
    frames, tokens, instances, moving, values, links, points = zip(*rows, strict=True)
    columns = np.array(values, dtype=np.float64)
    row_of = {token: i for i, token in enumerate(tokens)}
    times_s = np.array(times_us, dtype=np.float64)[list(frames)] * 1e-6
    names = _categories(folder)
    return Annotations(
        starts=np.searchsorted(np.array(frames), np.arange(len(samples) + 1)),
        centre=columns[:, :3],
        size=columns[:, [4, 3, 5]],  # the table's order is width, length, height
        turn=rotation(columns[:, 6:10]),
        velocity=_velocities(columns[:, :3], times_s, links, row_of),
        category=tuple(names[instance] for instance in instances),
        instance=instances,
        moving=np.array(moving, dtype=bool),
        n_points=np.array(points, dtype=np.int64),
        tells_motion=bool(attributes),
    )


def boxes_of(annotations: Annotations, frame: int, lidar_to_global: Float64) -> Boxes:
    """The boxes of one frame, in its LiDAR frame."""
    rows = slice(int(annotations.starts[frame]), int(annotations.starts[frame + 1]))
    to_lidar = inverse(lidar_to_global)
    heading = to_lidar[:3, :3] @ annotations.turn[rows]
    velocity = annotations.velocity[rows] @ to_lidar[:3, :3].T
    return Boxes(
        centre=apply(to_lidar, annotations.centre[rows]),
        size=annotations.size[rows],
        yaw=np.arctan2(heading[:, 1, 0], heading[:, 0, 0]),
        velocity=velocity[:, :2],
        category=annotations.category[rows],
        instance=annotations.instance[rows],
        moving=annotations.moving[rows],
        n_points=annotations.n_points[rows],
    )


def inside(points: Float64, boxes: Boxes, which: Bool, margin_m: float) -> Bool:
    """Whether each point (N, 3) lies in any of the boxes picked by `which`.

    Args:
        points: Metres, LiDAR frame.
        boxes: In the same frame.
        which: (B,) the boxes to look at.
        margin_m: Added on all six sides.
    """
    hit = np.zeros(len(points), dtype=bool)
    x = np.ascontiguousarray(points[:, 0])
    for i in np.flatnonzero(which):
        reach = boxes.size[i] / 2 + margin_m
        # Nearly all points are farther off than the box's diagonal, along one axis already.
        near = np.flatnonzero(np.abs(x - boxes.centre[i, 0]) <= 1.001 * np.hypot(*reach[:2]))
        offset = points[near] - boxes.centre[i]
        cos, sin = np.cos(boxes.yaw[i]), np.sin(boxes.yaw[i])
        ahead = offset[:, 0] * cos + offset[:, 1] * sin
        left = offset[:, 1] * cos - offset[:, 0] * sin
        within = np.abs(np.stack((ahead, left, offset[:, 2]))) <= reach[:, None]
        hit[near[within.all(axis=0)]] = True
    return hit


def _rows(folder: Path, frame_of: dict[str, int], attributes: dict[str, str]) -> list[Any]:
    """Each annotation as (frame, token, instance, moving, ten numbers, links, points)."""

    def keep(row: Row) -> tuple[Any, ...] | None:
        frame = frame_of.get(row["sample_token"])
        if frame is None:
            return None
        return (
            frame,
            row["token"],
            row["instance_token"],
            any(attributes.get(token) in MOVING for token in row["attribute_tokens"]),
            (*row["translation"], *row["size"], *row["rotation"]),
            (row["prev"], row["next"]),
            row["num_lidar_pts"],
        )

    return read_table(folder, "sample_annotation", keep)


def _categories(folder: Path) -> dict[str, str]:
    """Instance token to general category name."""
    names = dict(read_table(folder, "category", lambda r: (r["token"], r["name"])))
    return dict(read_table(folder, "instance", lambda r: (r["token"], names[r["category_token"]])))


def _velocities(
    centre: Float64,
    times_s: Float64,
    links: tuple[tuple[str, str], ...],
    row_of: dict[str, int],
) -> Float64:
    """Velocity (B, 3) from the same object's boxes before and after, as the devkit estimates it.

    Centred where both neighbours exist, one-sided where one does, NaN where none does or where
    they are too long apart.
    """
    own = np.arange(len(centre))
    before = np.array([row_of.get(prev, -1) for prev, _ in links])
    after = np.array([row_of.get(following, -1) for _, following in links])
    both = (before >= 0) & (after >= 0)
    first, last = np.where(before >= 0, before, own), np.where(after >= 0, after, own)
    seconds = times_s[last] - times_s[first]
    told = (seconds > 0) & (seconds <= np.where(both, 2 * MOST_SECONDS, MOST_SECONDS))
    velocity = np.full_like(centre, np.nan)
    velocity[told] = (centre[last] - centre[first])[told] / seconds[told, None]
    return velocity

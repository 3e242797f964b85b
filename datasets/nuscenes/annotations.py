"""Annotated boxes of a nuScenes version, as columns, and the boxes of one frame in its own frame.

Offers `Annotations`, `read_annotations`, `boxes_of`, `velocities` and `inside`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.json_rows import REMEDY, Row
from lima_bench.datasets.nuscenes.strings import Strings
from lima_bench.datasets.nuscenes.tables import read_table, scan_table
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
        quaternion: (B, 4) rotation, w x y z.
        velocity: (B, 3) metres per second, NaN where it cannot be told.
        instance: (B,) row in `instances`.
        moving: (B,).
        n_points: (B,) LiDAR points as annotated.
        n_radar: (B,) RADAR points as annotated.
        instances: Instance tokens.
        category: (instances,) row in `categories`.
        categories: General category names.
        tells_motion: Whether the version has attributes at all.
    """

    starts: Int64
    centre: Float64
    size: Float64
    quaternion: Float64
    velocity: Float64
    instance: Int64
    moving: Bool
    n_points: Int64
    n_radar: Int64
    instances: Strings
    category: Int64
    categories: Strings
    tells_motion: bool


@dataclass
class _Collected:
    """Columns that grow with every annotation that is kept.

    Boxes are numbered as they are first named, be it by a neighbour; number 0 is no box.
    """

    frame: array[int] = field(default_factory=lambda: array("q"))
    number: array[int] = field(default_factory=lambda: array("q"))
    before: array[int] = field(default_factory=lambda: array("q"))
    after: array[int] = field(default_factory=lambda: array("q"))
    instance: array[int] = field(default_factory=lambda: array("q"))
    moving: array[int] = field(default_factory=lambda: array("b"))
    n_points: array[int] = field(default_factory=lambda: array("q"))
    n_radar: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})
    instances: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, frame: int, *, moving: bool) -> None:
        """Keep one row."""
        values = (*row["translation"], *row["size"], *row["rotation"])
        if len(values) != 10:
            raise ValueError(f"the box {row['token']} has {len(values)} numbers")
        instances, numbers = self.instances, self.numbers
        self.frame.append(frame)
        self.number.append(numbers.setdefault(row["token"], len(numbers)))
        self.before.append(numbers.setdefault(row["prev"], len(numbers)))
        self.after.append(numbers.setdefault(row["next"], len(numbers)))
        self.instance.append(instances.setdefault(row["instance_token"], len(instances)))
        self.moving.append(moving)
        self.n_points.append(row["num_lidar_pts"])
        self.n_radar.append(row["num_radar_pts"])
        self.values.extend(values)


def read_annotations(
    folder: Path, frames: Mapping[str, int], times_us: Sequence[int]
) -> Annotations | None:
    """The boxes of the samples whose frame number is in `frames`.

    Args:
        folder: Of the tables.
        frames: Frame number by sample token.
        times_us: Time of each frame.

    Returns:
        None when the version has no boxes at all, as the test set.

    Raises:
        UserError: A table is missing or broken.
    """
    attributes = dict(read_table(folder, "attribute", lambda r: (r["token"], r["name"])))
    rows = _rows(folder, frames, attributes)
    if not len(rows.frame):
        return None
    # What grew is dropped as soon as it is sorted: a full-size version has 1.2 million boxes.
    order = np.argsort(_column(rows.frame), kind="stable")  # file order inside a frame
    frame = _column(rows.frame)[order]
    columns = np.frombuffer(rows.values, dtype=np.float64).reshape(-1, 10)[order]
    rows.values = array("d")
    place = np.full(len(rows.numbers), -1, dtype=np.int64)
    place[_column(rows.number)[order]] = np.arange(len(order))
    place[0] = -1
    times_s = np.array(times_us, dtype=np.float64)[frame] * 1e-6
    links = (place[_column(rows.before)[order]], place[_column(rows.after)[order]])
    rows.numbers.clear()
    category, categories = _categories(folder, rows.instances)
    return Annotations(
        starts=np.searchsorted(frame, np.arange(len(frames) + 1)),
        centre=columns[:, :3],
        size=columns[:, [4, 3, 5]],  # the table's order is width, length, height
        quaternion=columns[:, 6:],
        velocity=velocities(columns[:, :3], times_s, *links),
        instance=_column(rows.instance)[order],
        moving=np.frombuffer(rows.moving, dtype=np.int8)[order].astype(bool),
        n_points=_column(rows.n_points)[order],
        n_radar=_column(rows.n_radar)[order],
        instances=Strings.of(rows.instances),
        category=category,
        categories=categories,
        tells_motion=bool(attributes),
    )


def boxes_of(annotations: Annotations, frame: int, lidar_to_global: Float64) -> Boxes:
    """The boxes of one frame, in its LiDAR frame."""
    rows = slice(int(annotations.starts[frame]), int(annotations.starts[frame + 1]))
    to_lidar = inverse(lidar_to_global)
    heading = to_lidar[:3, :3] @ rotation(annotations.quaternion[rows])
    instance = annotations.instance[rows]
    category = annotations.category[instance].tolist()
    velocity = annotations.velocity[rows] @ to_lidar[:3, :3].T
    return Boxes(
        centre=apply(to_lidar, annotations.centre[rows]),
        size=annotations.size[rows].copy(),
        yaw=np.arctan2(heading[:, 1, 0], heading[:, 0, 0]),
        velocity=velocity[:, :2],
        category=tuple(annotations.categories[row] for row in category),
        instance=tuple(annotations.instances[row] for row in instance.tolist()),
        moving=annotations.moving[rows].copy(),
        n_points=annotations.n_points[rows].copy(),
        n_radar=annotations.n_radar[rows].copy(),
    )


def inside(points: Float64, boxes: Boxes, which: Bool, margin_m: float) -> Bool:
    """Whether each point (N, 3) lies in any of the boxes picked by `which`.

    Args:
        points: Metres, LiDAR frame.
        boxes: In the same frame.
        which: (B,) the boxes to look at.
        margin_m: Added on all six sides.
    """
    # Here, because the compiler loads slowly, and to list a data set takes none of this.
    from lima_bench.datasets.nuscenes.inside import mark_inside

    hit = np.zeros(len(points), dtype=bool)
    yaw = boxes.yaw[which]
    mark_inside(
        np.ascontiguousarray(points),
        np.ascontiguousarray(boxes.centre[which]),
        np.ascontiguousarray(boxes.size[which] / 2 + margin_m),
        np.stack((np.cos(yaw), np.sin(yaw)), axis=1),
        hit,
    )
    return hit


def _rows(folder: Path, frames: Mapping[str, int], attributes: dict[str, str]) -> _Collected:
    """The annotations of known samples, as columns."""
    kept = _Collected()

    def visit(row: Row) -> None:
        frame = frames.get(row["sample_token"])
        if frame is not None:
            moving = any(attributes.get(token) in MOVING for token in row["attribute_tokens"])
            kept.add(row, frame, moving=moving)

    scan_table(folder, "sample_annotation", visit)
    return kept


def _column(values: array[int]) -> Int64:
    return np.frombuffer(values, dtype=np.int64)


def _categories(folder: Path, instances: Mapping[str, int]) -> tuple[Int64, Strings]:
    """The category (instances,) of each instance, and the names of categories.

    Raises:
        UserError: An instance is not in its table.
    """
    names = read_table(folder, "category", lambda r: (r["token"], r["name"]))
    number = {token: i for i, (token, _) in enumerate(names)}
    category = np.full(len(instances), -1, dtype=np.int64)

    def visit(row: Row) -> None:
        instance, own = instances.get(row["token"]), number[row["category_token"]]
        if instance is not None:
            category[instance] = own

    scan_table(folder, "instance", visit)
    lost = [token for token, instance in instances.items() if category[instance] < 0]
    if lost:
        what = f"{len(lost)} annotated objects are not in it, {min(lost)} first."
        raise UserError(folder / "instance.json", what, REMEDY)
    return category, Strings.of(name for _, name in names)


def velocities(centre: Float64, times_s: Float64, before: Int64, after: Int64) -> Float64:
    """Velocity (B, 3) from the same object's boxes before and after, as the devkit estimates it.

    Centred where both neighbours exist, one-sided where one does, NaN where none does or where
    they are too long apart.

    Args:
        centre: (B, 3) metres.
        times_s: (B,).
        before: (B,) row of the box before, -1 where there is none.
        after: (B,) likewise.
    """
    own = np.arange(len(centre))
    both = (before >= 0) & (after >= 0)
    first, last = np.where(before >= 0, before, own), np.where(after >= 0, after, own)
    seconds = times_s[last] - times_s[first]
    told = (seconds > 0) & (seconds <= np.where(both, 2 * MOST_SECONDS, MOST_SECONDS))
    velocity = np.full_like(centre, np.nan)
    velocity[told] = (centre[last] - centre[first])[told] / seconds[told, None]
    return velocity

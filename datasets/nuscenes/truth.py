"""What the official detection metric compares predictions with, straight from the tables.

Offers `read_truth`. Nothing is filtered here: ranges, points and racks are the metric's own rules.
Tables are streamed, so that the full set with its million boxes needs little memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.nuscenes.annotations import velocities
from lima_bench.datasets.nuscenes.json_rows import REMEDY, Row
from lima_bench.datasets.nuscenes.tables import LIDAR, read_table, scan_table
from lima_bench.datasets.sample import Float64, Frame, Int64

RACK, NEITHER = -1, -2
"""Labels of what is no class: around it some classes do not count; of no interest."""


@dataclass(frozen=True)
class _Samples:
    """The keyframes of every scene that has a wanted one: neighbours tell velocities.

    Attributes:
        row: By sample token, a row of the columns below.
        time_us: (S,).
        turn: (S,) row in the table.
        frame: (S,) number of the wanted frame, -1 for a neighbour.
    """

    row: Mapping[str, int]
    time_us: Int64
    turn: Int64
    frame: Int64


@dataclass
class _Columns:
    """Columns that grow with every annotation of these samples.

    Boxes are numbered as they are first named, be it by a neighbour; number 0 is no box.
    """

    sample: array[int] = field(default_factory=lambda: array("q"))
    number: array[int] = field(default_factory=lambda: array("q"))
    before: array[int] = field(default_factory=lambda: array("q"))
    after: array[int] = field(default_factory=lambda: array("q"))
    instance: array[int] = field(default_factory=lambda: array("q"))
    attribute: array[int] = field(default_factory=lambda: array("q"))
    n_points: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})
    instances: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, sample: int, attributes: Mapping[str, int]) -> None:
        """Keep one row."""
        values = (*row["translation"], *row["size"], *row["rotation"])
        if len(values) != 10:
            raise ValueError(f"the box {row['token']} has {len(values)} numbers")
        said = row["attribute_tokens"]
        if len(said) > 1:
            raise ValueError(f"the box {row['token']} has {len(said)} attributes")
        instances, numbers = self.instances, self.numbers
        self.sample.append(sample)
        self.number.append(numbers.setdefault(row["token"], len(numbers)))
        self.before.append(numbers.setdefault(row["prev"], len(numbers)))
        self.after.append(numbers.setdefault(row["next"], len(numbers)))
        self.instance.append(instances.setdefault(row["instance_token"], len(instances)))
        self.attribute.append(attributes[said[0]] if said else 0)
        self.n_points.append(row["num_lidar_pts"] + row["num_radar_pts"])
        self.values.extend(values)


def read_truth(tables: Path, frames: Sequence[Frame], facts: DetectionFacts) -> DetectionTruth:
    """The objects of `frames`, where the ego vehicle was, and what keeps boxes from counting.

    Velocities are estimated as by the official kit, from neighbours that need not be in `frames`.

    Args:
        tables: Folder of the tables of one version.
        frames: Keyframes of that version, in the order of the scored list.
        facts: Which categories are which class.

    Raises:
        UserError: A table is missing or broken, a frame is not in it, or no object of any class
            is annotated in `frames`, so that nothing could be scored.
    """
    samples = _samples(tables, frames)
    attributes = read_table(tables, "attribute", lambda r: (r["token"], r["name"]))
    names = ["", *(name for _, name in attributes)]
    codes = {token: code for code, (token, _) in enumerate(attributes, start=1)}
    columns = _annotations(tables, samples, codes)
    label = _labels(tables, columns.instances, facts)[_column(columns.instance)]
    boxes = _boxes(tables, columns, samples, label, names)
    if not (boxes.label >= 0).any():
        raise UserError(
            tables / "sample_annotation.json",
            f"No object of a class is annotated in any of the {len(frames)} frames.",
            "Score a split with annotated objects; those of the test set are not public.",
        )
    wanted = samples.frame >= 0
    order = np.argsort(samples.frame[wanted])
    return DetectionTruth(
        samples=tuple(frame.alias for frame in frames),
        turn=samples.turn[wanted][order],
        ego_xy=_ego(tables, {frame.alias: i for i, frame in enumerate(frames)}),
        boxes=boxes.only(np.flatnonzero(boxes.label >= 0)),
        racks=boxes.only(np.flatnonzero(boxes.label == RACK)),
    )


def _samples(tables: Path, frames: Sequence[Frame]) -> _Samples:
    """The samples of all scenes of `frames`, in the order of their table."""
    number = {frame.alias: i for i, frame in enumerate(frames)}
    rows = read_table(tables, "sample", lambda r: (r["token"], r["scene_token"], r["timestamp"]))
    scenes = {scene for token, scene, _ in rows if token in number}
    kept = [(turn, *row) for turn, row in enumerate(rows) if row[1] in scenes]
    here = {token for _, token, _, _ in kept}
    lost = [frame for frame in frames if frame.alias not in here]
    if lost or len(number) < len(frames):
        what = f"is no sample of this version: {lost[0].id}" if lost else "is there twice"
        raise UserError(tables / "sample.json", f"A scored frame {what}.", "Score its own frames.")
    return _Samples(
        row={token: i for i, (_, token, _, _) in enumerate(kept)},
        time_us=np.array([time for _, _, _, time in kept], dtype=np.int64),
        turn=np.array([turn for turn, _, _, _ in kept], dtype=np.int64),
        frame=np.array([number.get(token, -1) for _, token, _, _ in kept], dtype=np.int64),
    )


def _column(values: array[int]) -> Int64:
    return np.frombuffer(values, dtype=np.int64)


def _annotations(tables: Path, samples: _Samples, attributes: Mapping[str, int]) -> _Columns:
    """Every annotation of `samples`, in file order."""
    kept = _Columns()

    def visit(row: Row) -> None:
        sample = samples.row.get(row["sample_token"])
        if sample is not None:
            kept.add(row, sample, attributes)

    scan_table(tables, "sample_annotation", visit)
    return kept


def _labels(tables: Path, instances: Mapping[str, int], facts: DetectionFacts) -> Int64:
    """The label (instances,) of each object, `RACK` or `NEITHER`.

    Raises:
        UserError: An annotated object is not in its table.
    """
    known = facts.label_of | dict.fromkeys(facts.racks, RACK)
    names = read_table(tables, "category", lambda r: (r["token"], r["name"]))
    of_category = {token: known.get(name, NEITHER) for token, name in names}
    label = np.full(len(instances), NEITHER, dtype=np.int64)
    seen = np.zeros(len(instances), dtype=bool)

    def visit(row: Row) -> None:
        instance, own = instances.get(row["token"]), of_category[row["category_token"]]
        if instance is not None:
            label[instance], seen[instance] = own, True

    scan_table(tables, "instance", visit)
    if not seen.all():
        what = f"{np.count_nonzero(~seen)} annotated objects are not in it."
        raise UserError(tables / "instance.json", what, REMEDY)
    return label


def _boxes(
    tables: Path, columns: _Columns, samples: _Samples, label: Int64, names: Sequence[str]
) -> GlobalBoxes:
    """Classes and racks of the wanted frames, by frame and in file order inside."""
    sample = _column(columns.sample)
    values = np.frombuffer(columns.values, dtype=np.float64).reshape(-1, 10)
    velocity = velocities(values[:, :3], samples.time_us[sample] * 1e-6, *_links(tables, columns))
    frame = samples.frame[sample]
    rows = np.flatnonzero((frame >= 0) & (label > NEITHER))
    rows = rows[np.argsort(frame[rows], kind="stable")]
    _refuse_flat(tables, values[rows])
    return GlobalBoxes(
        frame=frame[rows],
        centre=values[rows, :3],
        size=values[rows, 3:6],
        rotation=values[rows, 6:],
        velocity=velocity[rows, :2],
        label=label[rows],
        score=np.full(len(rows), np.nan),
        attribute=tuple(names[i] for i in _column(columns.attribute)[rows].tolist()),
        n_points=_column(columns.n_points)[rows],
    )


def _links(tables: Path, columns: _Columns) -> tuple[Int64, Int64]:
    """Rows (B,) of the same object's boxes before and after, -1 where there is none.

    Raises:
        UserError: A box names a neighbour that is not in its scene.
    """
    place = np.full(len(columns.numbers), -1, dtype=np.int64)
    place[_column(columns.number)] = np.arange(len(columns.number))
    lost = np.flatnonzero(place[1:] < 0)
    if lost.size:
        what = f"{lost.size} boxes that others name as their neighbours are not in their scene."
        raise UserError(tables / "sample_annotation.json", what, REMEDY)
    return place[_column(columns.before)], place[_column(columns.after)]


def _refuse_flat(tables: Path, values: Float64) -> None:
    """Refuse boxes (B, 10) without a volume or a direction: the metric divides by both."""
    whole = np.isfinite(values).all(axis=1) & (values[:, 3:6] > 0).all(axis=1)
    bad = np.count_nonzero(~(whole & (values[:, 6:] != 0).any(axis=1)))
    if bad:
        what = f"{bad} boxes have no volume, no direction, or values that are no numbers."
        raise UserError(tables / "sample_annotation.json", what, REMEDY)


def _ego(tables: Path, frames: Mapping[str, int]) -> Float64:
    """Where the ego vehicle was (F, 2) when the LiDAR scanned each frame.

    Raises:
        UserError: A frame has no scan, or a scan has no pose.
    """
    channel = dict(read_table(tables, "sensor", lambda r: (r["token"], r["channel"])))
    lidars = frozenset(
        read_table(
            tables,
            "calibrated_sensor",
            lambda r: r["token"] if channel[r["sensor_token"]] == LIDAR else None,
        )
    )
    pose_of: list[str] = [""] * len(frames)

    def visit(row: Row) -> None:
        if row["is_key_frame"] and row["calibrated_sensor_token"] in lidars:
            frame = frames.get(row["sample_token"])
            if frame is not None:
                pose_of[frame] = row["ego_pose_token"]

    scan_table(tables, "sample_data", visit)
    if "" in pose_of:
        what = f"{pose_of.count('')} of {len(frames)} scored frames have no {LIDAR} scan."
        raise UserError(tables / "sample_data.json", what, REMEDY)
    wanted = frozenset(pose_of)
    places = dict(
        read_table(
            tables,
            "ego_pose",
            lambda r: (r["token"], r["translation"][:2]) if r["token"] in wanted else None,
        )
    )
    lost = wanted - places.keys()
    if lost:
        what = f"{len(lost)} scans have no ego pose, {min(lost)} first."
        raise UserError(tables / "ego_pose.json", what, REMEDY)
    return np.array([places[token] for token in pose_of], dtype=np.float64).reshape(-1, 2)

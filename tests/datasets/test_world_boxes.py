"""The world's boxes, as a detector reads them: every class, true motion, true counts."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.nuscenes.annotations import inside
from lima_bench.datasets.nuscenes.names import token
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.writer import write_recording, write_tables
from lima_bench.datasets.sample import Boxes, Sample
from lima_bench.datasets.world.drive import drive, record
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.lidar import spin
from lima_bench.datasets.world.recording import Annotation, Moment, Recording
from lima_bench.datasets.world.scene import Instant
from lima_bench.datasets.world.showing import draw_showing
from lima_bench.datasets.world.spec import WorldSpec, named_spec

FACTS = NuScenes.card.detection
assert FACTS is not None
SMALLEST_SHARE = 20
"""5 % keeps every 20th train scene, counted from 1; 10 and 20 % hold these scenes too."""


def _blind(spec: WorldSpec) -> WorldSpec:
    """The same streets without pictures and sweeps, for speed."""
    silent = {"cameras": (), "sweeps_per_keyframe": 0, "pretrain_sweeps": 0, "detection_sweeps": 0}
    return spec.model_copy(update={"nuscenes": spec.nuscenes.model_copy(update=silent)})


SPEC = _blind(named_spec("embedded"))


@pytest.fixture(scope="module")
def smallest() -> list[Recording]:
    """The scenes of the 5 % share."""
    numbers = range(SMALLEST_SHARE - 1, SPEC.nuscenes.train_scenes, SMALLEST_SHARE)
    return [drive(SPEC, "nuscenes", "train", i) for i in numbers]


@pytest.fixture(scope="module")
def val() -> list[Recording]:
    return [drive(SPEC, "nuscenes", "val", i) for i in range(10)]


@pytest.fixture(scope="module")
def written(
    smallest: list[Recording], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Moment, Sample]]:
    """Four scenes of three keyframes, and what is read of them."""
    root: Path = tmp_path_factory.mktemp("boxes") / "nuscenes"
    drives = smallest[:4]
    write_tables([write_recording(one, root) for one in drives], root, pretrain=())
    reader = NuScenes()
    moments = [moment for one in drives for moment in one.moments]
    samples = [reader.load(frame) for frame in reader.frames(root, "train")]
    return list(zip(moments, samples, strict=True))


def _boxes(drives: list[Recording]) -> list[Annotation]:
    return [box for one in drives for moment in one.moments for box in moment.annotations]


def _labels(boxes: list[Annotation]) -> Counter[str]:
    rows = [FACTS.label_of[box.category] for box in boxes if box.category in FACTS.label_of]
    return Counter(FACTS.names[row] for row in rows)


def test_few_labels_are_few_but_show_every_class(smallest: list[Recording]) -> None:
    useful = _labels([box for box in _boxes(smallest) if box.n_lidar_points >= 5])
    assert set(useful) == set(FACTS.names)
    assert min(useful.values()) >= 10 and useful["car"] > 100
    assert min(useful.values()) < 40  # so that a share four times as large has more to teach


def test_validation_shows_every_class_in_range(val: list[Recording]) -> None:
    counts: Counter[str] = Counter()
    for moment in (moment for one in val for moment in one.moments):
        ego = moment.scan.ego_to_global[:2, 3]
        for box in moment.annotations:
            row = FACTS.label_of.get(box.category)
            near = np.linalg.norm(box.centre[:2] - ego)
            if row is not None and near < FACTS.classes[row].range_m:
                counts[FACTS.names[row]] += 1
    assert set(counts) == set(FACTS.names)
    assert min(counts.values()) >= 15


def test_attributes_say_who_moves(val: list[Recording], smallest: list[Recording]) -> None:
    seen: Counter[str] = Counter()
    for box in _boxes([*val, *smallest]):
        moves = np.linalg.norm(box.velocity) > 0
        group = box.category.split(".")[0]
        if box.category in ("vehicle.bicycle", "vehicle.motorcycle"):
            assert box.attribute == ("cycle.with_rider" if moves else "cycle.without_rider")
        elif group == "vehicle":
            still = ("vehicle.parked", "vehicle.stopped")
            assert box.attribute in (("vehicle.moving",) if moves else still)
        elif group == "human":
            assert box.attribute == ("pedestrian.moving" if moves else "pedestrian.standing")
        elif group == "movable_object":
            assert not box.attribute and not moves
        seen[box.attribute] += 1
    assert len(seen) == 8 and min(seen.values()) >= 10  # all but sitting; and none


def test_velocities_that_are_read_are_those_of_the_motion(
    written: list[tuple[Moment, Sample]],
) -> None:
    """As the official kit estimates them from neighbouring boxes; unknown for a box alone."""
    chains = Counter(one for _, sample in written for one in _boxes_of(sample).instance)
    off, speeds, unknown = [], [], 0
    for moment, sample in written:
        boxes, pose = _boxes_of(sample), sample.lidar_to_global
        assert pose is not None
        for truth in moment.annotations:
            name = token("instance", sample.frame.sequence, truth.instance)
            velocity = boxes.velocity[boxes.instance.index(name)]
            alone = chains[name] == 1
            assert np.isnan(velocity).all() == alone
            unknown += alone
            if not alone:
                off.append(np.linalg.norm(pose[:2, :2] @ velocity - truth.velocity))
                speeds.append(np.linalg.norm(truth.velocity))
    assert unknown and max(speeds) > 5
    assert max(off) < 0.45 and np.median(off) < 0.02


def _boxes_of(sample: Sample) -> Boxes:
    assert sample.boxes is not None
    return sample.boxes


def test_counts_are_those_of_points_in_the_box(written: list[tuple[Moment, Sample]]) -> None:
    """Of what stands: a beam meets a mover where it was, up to a twentieth of a second before.

    Beams measure to a few centimetres, so a box holds its points with so much room around it.
    """
    annotated, held = 0, 0
    for _, sample in written:
        boxes = _boxes_of(sample)
        assert sample.labels is not None
        points = sample.points.astype(np.float64)
        for row in np.flatnonzero((boxes.n_points >= 5) & ~boxes.moving):
            if not (label := FACTS.label_of.get(boxes.category[row], -1)) >= 0:
                continue
            one = np.arange(len(boxes.category)) == row
            own = sample.labels == NuScenes.card.class_names.index(FACTS.names[label])
            n_points = int(boxes.n_points[row])
            assert (inside(points, boxes, one, 0.0) & own).sum() <= n_points
            with_room = int((inside(points, boxes, one, 0.06) & own).sum())
            assert with_room >= 0.9 * n_points, boxes.category[row]
            annotated, held = annotated + n_points, held + min(with_room, n_points)
    assert annotated > 3000 and held > 0.99 * annotated


def test_visibility_is_the_share_that_is_in_view() -> None:
    """Each object is looked at once more with nothing else in the street."""
    expedition = expedition_of(SPEC, "nuscenes")
    trip = replace(expedition.of("val")[0], keyframes=1)
    seed = derive_seed(SPEC.seed, "world", expedition.town, trip.split, trip.index)
    scene = draw_showing(
        seed, expedition.style, expedition.rig, 1, all_classes=trip.all_classes, unlabelled=0
    )
    (moment,) = record(SPEC, expedition, trip).moments
    whole = spin(scene.at(0.0), expedition.rig.lidar, 0)
    levels = Counter()
    for box in moment.annotations:
        shapes = scene.things[box.instance - 1].shapes_at(0.0)
        alone = spin(Instant(scene, 0.0, shapes, shapes), expedition.rig.lidar, 0)
        share = whole.met[box.instance] / alone.met[box.instance]
        assert box.visibility == 1 + sum(share > level for level in (0.4, 0.6, 0.8))
        assert 0 < box.n_lidar_points <= whole.met[box.instance]
        levels[box.visibility] += 1
    assert set(levels) == {1, 2, 3, 4}, levels

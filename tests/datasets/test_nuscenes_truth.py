"""nuScenes: what the metric is told is true equals what the official kit reads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.global_boxes import DetectionTruth
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.truth import read_truth
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]
DATASET = NuScenes()
FACTS = DATASET.card.detection


@pytest.fixture
def tables(nuscenes_root: Written, tmp_path: Path) -> Path:
    """A copy whose tables a test may change; scans stay where they are."""
    root, _ = nuscenes_root
    for part in ("v1.0-synth", "maps"):
        shutil.copytree(root / part, tmp_path / part)
    for part in ("samples", "lidarseg"):
        (tmp_path / part).symlink_to(root / part)
    shutil.copy(root / "splits.json", tmp_path)
    return tmp_path / "v1.0-synth"


def edit(tables: Path, name: str, change: Callable[[list], object]) -> None:
    path = tables / f"{name}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def frames_of(tables: Path, split: str = "train") -> list[Frame]:
    return list(DATASET.frames(tables.parent, split))


def kit_boxes(tables: Path, frames: list[Frame]):
    """The kit's boxes of each frame, with where they are from the ego vehicle."""
    nuscenes = pytest.importorskip("nuscenes.nuscenes")
    from nuscenes.eval.common.loaders import add_center_dist, load_gt_of_sample_tokens
    from nuscenes.eval.detection.data_classes import DetectionBox

    kit = nuscenes.NuScenes(tables.name, str(tables.parent), verbose=False)
    tokens = [frame.alias for frame in frames]
    return kit, add_center_dist(kit, load_gt_of_sample_tokens(kit, tokens, DetectionBox))


def compare(truth: DetectionTruth, frames: list[Frame], kit, theirs) -> None:
    row = 0
    for number, frame in enumerate(frames):
        for box in theirs[frame.alias]:
            ours = truth.boxes.only(np.array([row]))
            assert ours.frame[0] == number and FACTS.names[ours.label[0]] == box.detection_name
            assert tuple(ours.centre[0]) == tuple(box.translation)
            assert tuple(ours.size[0]) == tuple(box.size)
            assert tuple(ours.rotation[0]) == tuple(box.rotation)
            np.testing.assert_allclose(ours.velocity[0], box.velocity, atol=1e-12)
            assert ours.attribute[0] == box.attribute_name and ours.n_points[0] == box.num_pts
            away = ours.centre[0, :2] - truth.ego_xy[number]
            np.testing.assert_allclose(away, box.ego_translation[:2], atol=1e-9)
            row += 1
    assert row == len(truth.boxes.frame)
    order = {row["token"]: turn for turn, row in enumerate(kit.sample)}
    assert truth.turn.tolist() == [order[frame.alias] for frame in frames]
    assert truth.samples == tuple(frame.alias for frame in frames)


def test_as_the_official_kit_reads_it(tables: Path) -> None:
    """Whatever the order of tables, with gaps in time, missing attributes and RADAR points."""
    rng = np.random.default_rng(0)

    def vary(rows: list) -> None:
        rng.shuffle(rows)
        for i, row in enumerate(rows):
            row["num_lidar_pts"], row["num_radar_pts"] = i % 3, i % 2
            if i % 4 == 0:
                row["attribute_tokens"] = []

    edit(tables, "sample_annotation", vary)
    edit(tables, "sample", rng.shuffle)
    edit(tables, "sample", lambda rows: [r.update(timestamp=r["timestamp"] + 3_000_000)
                                         for r in rows if not r["next"]])  # fmt: skip
    frames = frames_of(tables)[::-1]
    truth = read_truth(tables, frames, FACTS)
    assert np.isnan(truth.boxes.velocity).any() and "" in truth.boxes.attribute
    assert 0 in truth.boxes.n_points and 3 in truth.boxes.n_points + 1
    assert np.isnan(truth.boxes.score).all() and len(truth.racks.frame) == 0
    compare(truth, frames, *kit_boxes(tables, frames))


def test_some_frames_of_a_scene(tables: Path) -> None:
    """Neighbours that are not scored still tell velocities."""
    frames = frames_of(tables)[1::3]
    truth = read_truth(tables, frames, FACTS)
    assert np.isfinite(truth.boxes.velocity).all()
    compare(truth, frames, *kit_boxes(tables, frames))


def test_racks_and_other_categories(tables: Path) -> None:
    def recast(rows: list) -> None:
        token = {row["name"]: row["token"] for row in
                 json.loads((tables / "category.json").read_text())}  # fmt: skip
        for row in rows:
            if row["category_token"] == token["movable_object.barrier"]:
                row["category_token"] = token["static_object.bicycle_rack"]
            elif row["category_token"] == token["vehicle.truck"]:
                row["category_token"] = token["animal"]

    edit(tables, "instance", recast)
    frames = frames_of(tables)
    truth = read_truth(tables, frames, FACTS)
    compare(truth, frames, *kit_boxes(tables, frames))
    assert truth.racks.frame.tolist() == list(range(6)) and set(truth.racks.label) == {-1}
    names = {FACTS.names[label] for label in truth.boxes.label}
    assert names == {"car", "pedestrian", "bicycle"}


def drop(rows: list) -> None:
    rows.pop()


def spoil(key: str, value: object) -> Callable[[list], None]:
    return lambda rows: rows[0].update({key: value})


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("sample_annotation", list.clear, "No object of a class is annotated in any of the 6"),
        ("sample_annotation", spoil("next", "nowhere"), "others name as their neighbours"),
        ("sample_annotation", spoil("attribute_tokens", ["a", "b"]), "has 2 attributes"),
        ("sample_annotation", spoil("size", [1.0, 0.0, 2.0]), "1 boxes have no volume"),
        ("sample_annotation", spoil("size", [1.0, 2.0]), "has 9 numbers"),
        ("sample_annotation", spoil("translation", [1.0, float("nan"), 2.0]), "no numbers"),
        ("sample_annotation", lambda rows: rows[0].pop("num_radar_pts"), "num_radar_pts"),
        ("instance", drop, "1 annotated objects are not in it"),
        ("ego_pose", list.clear, "6 scans have no ego pose"),
        ("sample_data", list.clear, "6 of 6 scored frames have no LIDAR_TOP scan"),
        ("sample", list.clear, "A scored frame is no sample of this version"),
    ],
)
def test_broken_tables_are_told(
    tables: Path, table: str, change: Callable[[list], object], message: str
) -> None:
    frames = frames_of(tables)
    edit(tables, table, change)
    with pytest.raises(UserError, match=message) as caught:
        read_truth(tables, frames, FACTS)
    assert caught.value.where.endswith(f"{table}.json")


def test_a_frame_twice(tables: Path) -> None:
    frames = frames_of(tables)
    with pytest.raises(UserError, match="is there twice"):
        read_truth(tables, [*frames, frames[0]], FACTS)

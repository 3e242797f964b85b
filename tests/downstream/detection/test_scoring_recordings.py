"""Truth as prediction, and near misses, on a rendered world and on a real keyframe."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.truth import read_truth
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.downstream.detection.boxes import Detections
from lima_bench.downstream.detection.place import place
from lima_bench.downstream.scores.detection_result import agree
from lima_bench.downstream.scores.devkit import judged, official_scores, write_results
from lima_bench.downstream.scores.nuscenes_detection import detection_scores

DATASET = NuScenes()
FACTS = DATASET.card.detection


def boxes_as_found(frames: Sequence[Frame]) -> tuple[list[Detections], list[np.ndarray]]:
    """Annotated objects with points, in the LiDAR frame as a head would say them, and poses."""
    found, poses = [], []
    for frame in frames:
        sample = DATASET.load(frame)
        boxes = sample.boxes
        label = np.array([FACTS.label_of.get(name, -1) for name in boxes.category])
        own = (label >= 0) & (boxes.n_points > 0)
        columns = [boxes.centre, boxes.size, boxes.yaw[:, None], np.nan_to_num(boxes.velocity)]
        values = torch.from_numpy(np.concatenate(columns, axis=1)[own]).float()
        found.append(Detections(values, torch.ones(len(values)), torch.from_numpy(label[own])))
        poses.append(sample.lidar_to_global)
    return found, poses


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a rendered world, with its validation scenes as a split of the kit."""
    drive = NuScenesDrive(
        train_scenes=1,
        train_keyframes=1,
        pretrain_scenes=1,
        pretrain_keyframes=1,
        val_scenes=2,
        val_keyframes=3,
        image_height=28,
        image_width=48,
        azimuths=120,
        cameras=("CAM_FRONT", "CAM_BACK"),
    )
    folder = tmp_path_factory.mktemp("world")
    root = (
        build_world(WorldSpec(nuscenes=drive), folder, processes=1, datasets=("nuscenes",))
        / "nuscenes"
    )
    tables = root / "v1.0-synth"
    scenes = json.loads((root / "splits.json").read_text())["val"]
    (tables / "splits.json").write_text(json.dumps({"tiny_val": scenes}))
    return tables


def test_truth_of_the_world_is_perfect(world: Path, tmp_path: Path) -> None:
    frames = DATASET.frames(world.parent, "val")
    truth = read_truth(world, frames, FACTS)
    found = place(*boxes_as_found(frames), FACTS)
    scores = judged(world, "tiny_val", truth, found, tmp_path, FACTS)
    counts = scores.details["n_true"]
    present = [name for name in FACTS.names if counts[name]]
    assert len(present) >= 3 and sum(counts.values()) > 20
    assert scores.details["ap"] == pytest.approx(
        {name: 100 * (name in present) for name in FACTS.names}, abs=1e-9
    )
    for name in present:
        errors = scores.details["errors"][name]
        assert max(errors["trans"], errors["scale"]) < 1e-4
        assert (errors["orient"] or 0) < 1e-3  # a heading in the tilted scan has lost a little


@pytest.mark.parametrize("seed", range(2))
def test_near_misses_in_the_world(world: Path, seed: int, tmp_path: Path) -> None:
    frames = DATASET.frames(world.parent, "val")
    truth = read_truth(world, frames, FACTS)
    found = place(*boxes_as_found(frames), FACTS)
    rng = np.random.default_rng(seed)
    found = found.only(np.sort(rng.choice(len(found.frame), 2 * len(found.frame))))
    n = len(found.frame)
    found = replace(
        found,
        centre=found.centre + rng.normal(0, 0.7, (n, 3)),
        rotation=found.rotation + rng.normal(0, 0.2, (n, 4)),
        score=rng.random(n),
    )
    ours = detection_scores(truth, found, FACTS)
    results = write_results(found, truth, FACTS, tmp_path)
    agree(ours, official_scores(world, "tiny_val", results, tmp_path, FACTS), tolerance=1e-9)
    assert 0.01 < ours.mean_ap < 0.8


@pytest.fixture
def real(samples: Path, tmp_path: Path) -> Path:
    """The tables of a real keyframe, with a map for every log, which the sample lacks."""
    source = samples / "nuscenes" / "frame_ca9a282c"
    tables = Path(shutil.copytree(source / "v1.0-mini", tmp_path / "v1.0-mini"))
    (tmp_path / "samples").symlink_to(source / "samples")
    Image.new("L", (1, 1)).save(tmp_path / "map.png")
    logs = [row["token"] for row in json.loads((tables / "log.json").read_text())]
    row = {"token": "m", "log_tokens": logs, "category": "", "filename": "map.png"}
    (tables / "map.json").write_text(json.dumps([row]))
    return tables


def test_real_truth_as_prediction_gives_half(real: Path, tmp_path: Path) -> None:
    """Five of ten classes are there, all found: by our metric, and by the kit's."""
    with pytest.warns(UserWarning, match="1 of 8 sequences"):
        frames = DATASET.frames(real.parent, "mini_train")
    truth = read_truth(real, frames, FACTS)
    found = place(*boxes_as_found(frames), FACTS)
    scores = judged(real, "mini_train", truth, found, tmp_path / "out", FACTS)
    counts = {"barrier": 14, "pedestrian": 10, "car": 4, "traffic_cone": 3, "truck": 2}
    assert {name: n for name, n in scores.details["n_true"].items() if n} == counts
    assert {name: n for name, n in scores.details["n_found"].items() if n} == counts
    for values in (scores.details["ap"], *scores.details["ap_by_distance_m"].values()):
        assert set(np.round(list(values.values()), 9)) <= {0.0, 100.0}
    assert scores.scores["map"] == pytest.approx(50, abs=1e-9)
    assert scores.scores["classes_present"] == 5
    # Nobody can tell velocities from one frame, so the kit sets that error to 1.
    assert scores.details["errors"]["car"]["vel"] == 1

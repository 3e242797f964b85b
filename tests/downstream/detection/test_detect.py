"""A whole detection run on a small world: same seed same bits, resumable, scored."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.sample import Source
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.downstream import detect
from lima_bench.downstream.detect import Kit, Trial
from lima_bench.downstream.detection.catalogue import DETECTORS
from lima_bench.downstream.detection.settings import BevSettings, DetectRecipe
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.pretrain import new_student
from lima_bench.lima.recipes import (
    Augmentation,
    GridBounds,
    InputSettings,
    Length,
    StudentSettings,
    VoxelSettings,
)

WORLD = WorldSpec(
    nuscenes=NuScenesDrive(
        train_scenes=4,
        train_keyframes=2,
        pretrain_scenes=0,
        val_scenes=2,
        val_keyframes=1,
        sweeps_per_keyframe=1,
        image_height=16,
        image_width=32,
        azimuths=90,
        max_range_m=40.0,
    )
)
BOUNDS = GridBounds(lower=(-51.2, -51.2, -5.0), upper=(51.2, 51.2, 3.0))
STUDENT = StudentSettings(
    backbone="voxelnet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(1.6, 1.6, 0.2), rounding="floor", bounds=BOUNDS),
    inputs=InputSettings(intensity="unit"),
)
SMALL = {
    "length": Length(steps=4),
    "batch_size": 2,
    "sweeps": 1,
    "bev": BevSettings(widths=(8, 8), layers=(0, 0), neck=8),
    "augmentation": Augmentation(rotation_deg=22.5),
    "checkpoint_steps": 2,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory):
    return build_world(WORLD, tmp_path_factory.mktemp("world"), datasets=("nuscenes",)) / "nuscenes"


@pytest.fixture(scope="module")
def sources(root) -> dict[str, Source]:
    reader = open_dataset("nuscenes")
    return {
        split: Source(reader.card, reader.frames(root, split), reader.load, sweeps=reader.sweeps)
        for split in ("train", "val")
    }


def recipe_of(detector: str, **changes) -> DetectRecipe:
    made = DETECTORS.get(detector).recipe(**SMALL)
    # An untrained head is sure of nothing: with a threshold of its own it finds boxes to score.
    head = made.head.model_copy(update={"shared": 8, "branch": 8, "score": 0.0})
    return made.model_copy(update={"head": head, **changes})


@pytest.fixture
def trial_of(root, sources, tmp_path):
    """``trial_of(name, detector, backbone=, **changes of the recipe)``."""
    kit = Kit(*open_dataset("nuscenes").official(root, "val"))

    def make(
        name: str, detector: str = "centerpoint", backbone="voxelnet_tiny", **changes
    ) -> Trial:
        checkpoint = tmp_path / f"{backbone}.safetensors"
        if not checkpoint.exists():
            own = STUDENT.model_copy(update={"backbone": backbone})
            network = new_student(own, bn_momentum=0.1, seed=0)
            save_student(checkpoint, network, {"backbone": backbone, "steps": 0})
        return Trial(
            checkpoint=checkpoint,
            student=STUDENT,
            recipe=recipe_of(detector, **changes),
            train=sources["train"],
            val=sources["val"],
            kit=kit,
            seed=0,
            folder=tmp_path / name / "state",
            artifact=tmp_path / name / "artifact",
        )

    return make


@pytest.mark.parametrize("detector", DETECTORS.names())
def test_same_seed_same_bits_and_the_kit_agrees(trial_of, detector) -> None:
    first = detect.run(trial_of("a", detector))
    again = detect.run(trial_of("b", detector))
    assert first == again
    assert 0 <= first.scores["map"] <= 100 and 0 <= first.scores["nds"] <= 100
    assert first.details["steps"] == 4 and first.details["val_frames"] == 2
    other = detect.run(replace(trial_of("c", detector), seed=1))
    assert other.details["weights_digest"] != first.details["weights_digest"]


def test_the_scored_boxes_are_kept(trial_of, sources) -> None:
    trial = trial_of("a")
    detect.run(trial)
    kept = json.loads((trial.artifact / "results_nusc.json").read_text())
    assert set(kept["results"]) == {frame.alias for frame in sources["val"].frames}
    assert sum(map(len, kept["results"].values())) > 0
    assert kept["meta"]["use_lidar"] and not kept["meta"]["use_camera"]


def test_a_run_is_taken_up_where_it_stopped(trial_of, monkeypatch) -> None:
    whole = detect.run(trial_of("whole"))
    cut = trial_of("cut")
    with pytest.raises(KeyboardInterrupt):
        detect.run(cut, report=_stop_after(3))
    assert (cut.folder / "state.pt").is_file() and not cut.artifact.exists()
    assert detect.run(cut) == whole


def _stop_after(steps: int):
    def report(done: int, total: int, metrics=None) -> None:
        if done == steps:
            raise KeyboardInterrupt

    return report


def test_scores_during_training_and_the_best_of_them(trial_of) -> None:
    scores = detect.run(trial_of("best", evaluations=2, report="best"))
    course = scores.details["evaluations"]
    assert list(course) == ["2", "4"]
    assert scores.scores["map"] == max(course.values())
    assert course[str(scores.details["reported_step"])] == scores.scores["map"]


def test_nothing_found_is_a_score_of_nothing(trial_of) -> None:
    recipe = recipe_of("centerpoint")
    deaf = recipe.head.model_copy(update={"score": 1.0})
    scores = detect.run(trial_of("deaf", head=deaf))
    assert scores.scores["map"] == scores.scores["nds"] == 0
    assert "No frame has a box" in scores.details["note"]


def test_a_checkpoint_of_another_network_is_refused(trial_of) -> None:
    trial = trial_of("other", backbone="voxelnet_residual")
    with pytest.raises(UserError, match="holds a voxelnet_residual, but a voxelnet_tiny"):
        detect.run(trial)
    assert not trial.artifact.exists()


def test_frames_without_boxes_teach_nothing(trial_of) -> None:
    trial = trial_of("bare")

    def bare(frame):
        sample = trial.train.load(frame)
        return replace(
            sample, boxes=replace(sample.boxes, category=("animal",) * len(sample.boxes.category))
        )

    with pytest.raises(UserError, match="nothing to learn"):
        detect.run(replace(trial, train=replace(trial.train, load=bare)))


def test_what_cannot_be_scored_is_told_before_training(trial_of, root, tmp_path) -> None:
    """Tables of which the kit misses something, with frames that can be trained on."""
    trial, version = trial_of("early"), root / "v1.0-synth"
    tables = tmp_path / "part" / version.name
    shutil.copytree(version, tables)
    kit = Kit(tables, trial.kit.split)
    with pytest.raises(UserError, match="1 of 1 maps are not here"):
        detect.run(replace(trial, kit=kit), report=_stop_after(1))
    shutil.copytree(root / "maps", tables.parent / "maps")
    (tables / "sample_annotation.json").write_text("[]")
    with pytest.raises(UserError, match="No object of a class is annotated"):
        detect.run(replace(trial, kit=kit), report=_stop_after(1))


def test_missing_sweeps_say_what_to_do(trial_of) -> None:
    trial = trial_of("still")
    with pytest.raises(UserError, match="has none") as caught:
        detect.run(replace(trial, train=replace(trial.train, sweeps=None)))
    assert "sweeps" in caught.value.how


def test_a_sweep_that_only_the_score_reads_is_missed_before_training(trial_of) -> None:
    """Of a data set that was fetched without the part that holds the validation recordings."""
    trial, steps = trial_of("part"), []

    def gone(frame, n):
        raise UserError(frame.id, "This scan, which the tables name, is not here.", "Get it.")

    with pytest.raises(UserError, match="is not here"):
        detect.run(replace(trial, val=replace(trial.val, sweeps=gone)), report=steps.append)
    assert not steps
    assert not list(trial.folder.glob("*"))


def test_loading_processes_change_no_bit(trial_of) -> None:
    assert detect.run(replace(trial_of("two"), workers=2)) == detect.run(trial_of("none"))


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_two_devices_give_one_score(trial_of, sources) -> None:
    """Each learns from its own part of a step and asks its own frames; the first one scores all."""
    trial = trial_of("both", batch_size=1, report="best", evaluations=2)
    scores = detect.run(trial, devices=2)
    assert list(scores.details["evaluations"]) == ["2", "4"]
    kept = json.loads((trial.artifact / "results_nusc.json").read_text())
    assert set(kept["results"]) == {frame.alias for frame in sources["val"].frames}
    assert sum(scores.details["n_found"].values()) > 0

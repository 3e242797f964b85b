"""Fixtures: labelled drives of a made-up car as a `Source`, and a checkpoint to start from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from lima_bench.datasets.card import Card, ClassInfo, Intensity
from lima_bench.datasets.sample import IGNORE, Camera, Frame, Sample, Source
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.pretrain import new_student
from lima_bench.lima.recipes import InputSettings, StudentSettings, VoxelSettings

STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(1.0, 1.0, 1.0)),
    inputs=InputSettings(intensity="unit", max_range_m=45.0),
)
AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def make_card(n_classes: int = 3) -> Card:
    names = ("ground", "middle", "sky", "never")[:n_classes]
    return Card(
        name="made-up",
        title="Made up",
        licence="none",
        citation="none",
        sensor="none",
        frame_axes="x ahead, y left, z up",
        intensity=Intensity(minimum=0, maximum=255),
        classes=tuple(ClassInfo(name=name, colour=(0, 0, 0)) for name in names),
        labels=dict(enumerate(range(n_classes))),
    )


class LabelledDrives:
    """Scans drawn from the frame alone: the class is the height, a tenth is not labelled."""

    def __init__(self, n_points: int) -> None:
        self.n_points = n_points
        self.loads: Counter[str] = Counter()

    def load(self, frame: Frame) -> Sample:
        self.loads[frame.id] += 1
        rng = np.random.default_rng([*frame.id.encode()])
        points = rng.uniform((-50, -50, -3), (50, 50, 3), (self.n_points, 3)).astype(np.float32)
        labels = np.digitize(points[:, 2], [-1, 1]).astype(np.int64)
        labels[rng.random(self.n_points) < 0.1] = IGNORE
        eye = np.eye(4)
        mount = np.eye(4)
        mount[:3, :3] = AHEAD
        intrinsic = np.array([[50.0, 0, 49.5], [0, 50.0, 49.5], [0, 0, 1]])
        camera = Camera("FRONT", frame.id, None, intrinsic, mount, 100, 100)
        return Sample(
            frame,
            points,
            rng.uniform(0, 255, self.n_points).astype(np.float32),
            labels=labels,
            lidar_to_global=eye,
            cameras=(camera,),
            moving=points[:, 1] > 40,
            unknown_labels={77: 2},
        )


@pytest.fixture(scope="session")
def make_source():
    """``make_source(n_frames, n_points=, n_classes=, name=)``; loads are counted."""

    def make(n_frames=4, n_points=300, n_classes=3, name="train") -> Source:
        frames = [Frame(f"{name}/{n}", name, n, 0.5 * n) for n in range(n_frames)]
        return Source(make_card(n_classes), frames, LabelledDrives(n_points).load)

    return make


@pytest.fixture(scope="session")
def student():
    return STUDENT


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A student with initial weights."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.safetensors"
    learner = new_student(STUDENT, bn_momentum=0.05, seed=0)
    save_student(path, learner, {"backbone": STUDENT.backbone})
    return path


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)

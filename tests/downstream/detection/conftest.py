"""Fixtures: a made-up car that drives past boxes, with sweeps, as a `Source`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lima_bench.datasets.card import Card, ClassInfo, Intensity
from lima_bench.datasets.detection_facts import BoxClass, DetectionFacts
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Boxes, Frame, Sample, Source, Sweep
from lima_bench.downstream.detection.centerpoint.settings import CenterPointRecipe
from lima_bench.lima.recipes import GridBounds, InputSettings, StudentSettings, VoxelSettings

FACTS = DetectionFacts(
    metric="detection_cvpr_2019",
    classes=(
        BoxClass(name="car", categories=("vehicle.car",), range_m=50),
        BoxClass(name="person", categories=("human.adult", "human.child"), range_m=40),
        BoxClass(name="cone", categories=("object.cone",), range_m=30),
    ),
)
CARD = Card(
    name="made-up",
    title="Made up",
    licence="none",
    citation="none",
    sensor="none",
    frame_axes="x ahead, y left, z up",
    intensity=Intensity(minimum=0, maximum=255),
    classes=(ClassInfo(name="thing", colour=(0, 0, 0)),),
    labels={0: 0},
    detection=FACTS,
)
BOUNDS = GridBounds(lower=(-16.0, -16.0, -4.0), upper=(16.0, 16.0, 4.0), max_points=10)
STUDENT = StudentSettings(
    backbone="voxelnet",
    voxels=VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.25), rounding="floor", bounds=BOUNDS),
    inputs=InputSettings(intensity="unit", max_range_m=9.0, box_m=((-5, -5, -5), (5, 5, 5))),
)
SWEEP_S, KEY_S = 0.05, 0.5
BOXES = (  # category, x, y, z, length, width, height, yaw, LiDAR points, RADAR points
    ("vehicle.car", 6.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.4, 30, 0),
    ("vehicle.car", -7.0, -5.0, 0.0, 4.2, 1.9, 1.6, -2.0, 40, 2),
    ("human.adult", 3.0, -6.0, 0.0, 0.7, 0.7, 1.8, 3.0, 12, 0),
    ("human.child", -2.0, 7.0, 0.0, 0.6, 0.6, 1.2, 1.0, 0, 1),
    ("object.debris", 10.0, 10.0, 0.0, 1.0, 1.0, 1.0, 0.0, 9, 9),
    ("object.cone", 1.0, 9.0, 0.0, 0.4, 0.4, 1.0, 0.0, 0, 0),
)


class Drives:
    """A car that drives 8 m/s along a line that turns in the global frame; nothing else moves.

    Everything is drawn from the frame's sequence; boxes are given in its first LiDAR frame.
    """

    def __init__(self, boxes=BOXES, n_ground: int = 400, n_sweeps: int = 9) -> None:
        self.boxes, self.n_ground, self.n_sweeps = boxes, n_ground, n_sweeps
        self.loads: Counter[str] = Counter()

    @staticmethod
    def pose(time_s: float) -> np.ndarray:
        yaw = 0.6 + 0.1 * time_s
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        pose[:3, 3] = 700 + 8 * time_s * np.cos(0.6), 1100 + 8 * time_s * np.sin(0.6), 1.5
        return pose

    def scene(self, sequence: str) -> np.ndarray:
        """World points (N, 3): ground, and points inside the boxes."""
        rng = np.random.default_rng([*sequence.encode()])
        parts = [rng.uniform((-18, -18, -2.0), (18, 18, -1.5), (self.n_ground, 3))]
        for _, x, y, z, length, width, height, yaw, n_points, _ in self.boxes:
            inner = rng.uniform(-0.48, 0.48, (n_points, 3)) * (length, width, height)
            turn = np.array(
                [[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]
            )
            parts.append(inner @ turn + (x, y, z))
        return apply(self.pose(0.0), np.concatenate(parts))

    def load(self, frame: Frame) -> Sample:
        self.loads[frame.id] += 1
        pose = self.pose(frame.timestamp_s)
        points = apply(inverse(pose), self.scene(frame.sequence)).astype(np.float32)
        to_lidar = inverse(pose) @ self.pose(0.0)
        table = np.array([row[1:] for row in self.boxes]).reshape(-1, 9)
        turn = np.arctan2(to_lidar[1, 0], to_lidar[0, 0])
        velocity = np.tile((1.0, 2.0), (len(table), 1))
        velocity[2:3] = np.nan
        boxes = Boxes(
            centre=apply(to_lidar, table[:, :3]),
            size=table[:, 3:6],
            yaw=table[:, 6] + turn,
            velocity=velocity,
            category=tuple(row[0] for row in self.boxes),
            instance=tuple(str(n) for n in range(len(table))),
            moving=np.zeros(len(table), dtype=bool),
            n_points=table[:, 7].astype(np.int64),
            n_radar=table[:, 8].astype(np.int64),
        )
        intensity = np.linspace(0, 255, len(points), dtype=np.float32)
        return Sample(frame, points, intensity, lidar_to_global=pose, boxes=boxes)

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        times = frame.timestamp_s - SWEEP_S * np.arange(1, self.n_sweeps + 1)
        times = times[times > -1e-9][:n]
        world = self.scene(frame.sequence)
        return tuple(
            Sweep(
                apply(inverse(self.pose(t)), world).astype(np.float32),
                np.full(len(world), 255 * t, dtype=np.float32),
                self.pose(t),
                float(t),
            )
            for t in times
        )


@pytest.fixture(scope="session")
def make_boxed():
    """``make_boxed(n_frames, boxes=, n_sweeps=, name=)``: a source with boxes and sweeps."""

    def make(n_frames=3, name="a", **settings) -> Source:
        drives = Drives(**settings)
        frames = [Frame(f"{name}/{n}", name, n, KEY_S * n) for n in range(n_frames)]
        return Source(CARD, frames, drives.load, sweeps=drives.sweeps)

    return make


@pytest.fixture(scope="session")
def facts():
    return FACTS


@pytest.fixture(scope="session")
def grid_student():
    """A student on a small grid with bounds."""
    return STUDENT


@pytest.fixture(scope="session")
def recipe():
    """Four sweeps, nothing pasted or balanced; small motions."""
    return CenterPointRecipe(
        length={"steps": 4},
        sweeps=4,
        balanced=False,
        sampling=None,
        augmentation={"rotation_deg": 22.5},
        groups=(("car",), ("person", "cone")),
    )


@pytest.fixture(scope="session")
def changed():
    """``changed(settings, name=value)``: a copy with other values."""
    return lambda settings, **values: settings.model_copy(update=values)


@pytest.fixture(scope="session")
def without_sweeps():
    return lambda source: replace(source, sweeps=None)

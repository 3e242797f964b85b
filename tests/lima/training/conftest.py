"""Fixtures: drives of a made-up car, with scans, poses and pictures, as a `Source`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lima_bench.datasets.card import Card, ClassInfo, Intensity
from lima_bench.datasets.sample import Camera, Frame, Sample, Source
from lima_bench.lima.features import build_grids
from lima_bench.lima.superpixels import build_superpixels

SIZE = (32, 48)
AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Columns: the camera's right, down and ahead in a frame with x ahead, y left, z up."""


def card() -> Card:
    return Card(
        name="made-up",
        title="Made up",
        licence="none",
        citation="none",
        sensor="none",
        frame_axes="x ahead, y left, z up",
        intensity=Intensity(minimum=0, maximum=255),
        classes=(ClassInfo(name="low", colour=(1, 2, 3)), ClassInfo(name="high", colour=(4, 5, 6))),
        labels={0: 0, 1: 1},
    )


class Drives:
    """Loads scans drawn from the frame alone, and counts how often each was asked for."""

    def __init__(self, folder: Path, n_points: int) -> None:
        self.folder, self.n_points = folder, n_points
        self.loads: Counter[str] = Counter()

    def load(self, frame: Frame) -> Sample:
        self.loads[frame.id] += 1
        rng = np.random.default_rng([*frame.id.encode()])
        points = rng.uniform((-12, -12, -2), (12, 12, 2), (self.n_points, 3)).astype(np.float32)
        pose = np.eye(4)
        pose[:3, 3] = (2.0 * frame.index, 0, 0)
        return Sample(
            frame,
            points,
            rng.uniform(0, 255, self.n_points).astype(np.float32),
            labels=(points[:, 2] > 0).astype(np.int64),
            lidar_to_global=pose,
            cameras=tuple(self._camera(frame, turn, pose) for turn in (0, 1)),
            moving=points[:, 0] > 10,
        )

    def _camera(self, frame: Frame, turn: int, pose: np.ndarray) -> Camera:
        name = f"{frame.id}-{turn}".replace("/", "-")
        path = self.folder / f"{name}.png"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([*name.encode()])
            blocks = rng.integers(0, 255, (4, 6, 3))
            pixels = np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(path)
        mount = np.eye(4)
        mount[:3, :3] = np.diag([(-1) ** turn, (-1) ** turn, 1]) @ AXES
        intrinsic = np.array([[20.0, 0, 23.5], [0, 20.0, 15.5], [0, 0, 1]])
        return Camera(f"CAM_{turn}", name, path, intrinsic, pose @ mount, SIZE[1], SIZE[0])


@pytest.fixture(scope="session")
def make_source(tmp_path_factory):
    """``make_source(lengths, n_points=)``: one recording per length; loads are counted."""

    def make(lengths=(3, 3), n_points=200) -> Source:
        frames = [
            Frame(f"{name}/{index}", f"drive-{name}", index, 0.5 * index)
            for name, length in enumerate(lengths)
            for index in range(length)
        ]
        return Source(card(), frames, Drives(tmp_path_factory.mktemp("pictures"), n_points).load)

    return make


@pytest.fixture(scope="session")
def cached(teacher, tmp_path_factory):
    """``cached(source)``: a folder with ``grids`` and ``superpixels`` of its pictures."""

    def make(source: Source) -> Path:
        folder = tmp_path_factory.mktemp("caches")
        build_grids(teacher, source, SIZE, False, folder / "grids")
        build_superpixels(source, SIZE, 8, folder / "superpixels")
        return folder

    return make


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)

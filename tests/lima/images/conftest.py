"""Fixtures: a `Source` of a few pictures on disk, for everything that reads images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lima_bench.datasets.sample import Camera, Frame, Sample, Source


def draw_picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Coloured blocks with noise: something that both SLIC and a network can see."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 255, (size[0] // 16 + 1, size[1] // 16 + 1, 3))
    whole = np.kron(blocks, np.ones((16, 16, 1)))[: size[0], : size[1]]
    return np.clip(whole + random.normal(0, 4, whole.shape), 0, 255).astype(np.uint8)


def write_source(folder: Path, *, n_frames=3, n_cameras=2, size=(56, 84)) -> Source:
    """`n_frames` frames of `n_cameras` PNG pictures of `size` (height, width)."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras: dict[str, tuple[Camera, ...]] = {}
    for number in range(n_frames):
        rig = []
        for side in range(n_cameras):
            name = f"{number}-{side}"
            path = folder / f"{name}.png"
            Image.fromarray(draw_picture(10 * number + side, size)).save(path)
            rig.append(Camera(f"CAM_{side}", name, path, np.eye(3), np.eye(4), size[1], size[0]))
        cameras[str(number)] = tuple(rig)

    def load(frame: Frame) -> Sample:
        empty = np.zeros((0, 3), np.float32)
        return Sample(frame, empty, empty[:, 0], cameras=cameras[frame.id])

    frames = [Frame(str(n), "street", n, 0.5 * n) for n in range(n_frames)]
    return Source(SimpleNamespace(name="pictures"), frames, load)


@pytest.fixture(scope="session")
def picture():
    """``picture(seed, size)``: one RGB image."""
    return draw_picture


@pytest.fixture(scope="session")
def make_source():
    """``make_source(folder, n_frames=, n_cameras=, size=)``: pictures on disk as a `Source`."""
    return write_source


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Three frames of two pictures of 56 x 84."""
    return write_source(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def cameras(source):
    """The six cameras of `source`, in order."""
    return [camera for frame in source.frames for camera in source.load(frame).cameras]

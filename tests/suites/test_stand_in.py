"""The script that makes the stand-in: its targets, its determinism, its worth over the control."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lima_bench.common.hashing import file_digest
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.recording import Picture
from lima_bench.lima.teachers import catalogue
from lima_bench.lima.teachers.lesson import LessonSettings
from lima_bench.suites.stand_in import StandInSettings, geometry_of, make, make_lesson, untaught

HEIGHT_M = 1.5


@pytest.fixture
def picture():
    """A camera 1.5 m above flat asphalt, looking ahead; sky above the horizon."""
    rows, cols, focal = 16, 24, 10.0
    intrinsic = np.array([[focal, 0, 11.5], [0, focal, 7.5], [0, 0, 1]])
    camera_to_ego = np.array(
        [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, HEIGHT_M], [0, 0, 0, 1]], dtype=float
    )
    col, row = np.meshgrid(np.arange(cols), np.arange(rows))
    ray = np.stack([(col - 11.5) / focal, (row - 7.5) / focal, np.ones_like(col)], -1)
    ground = ray[..., 1] > 0
    ahead = np.where(ground, HEIGHT_M / np.where(ground, ray[..., 1], 1), np.inf)
    depth = (ahead * np.linalg.norm(ray, axis=-1)).astype(np.float32)
    return Picture(
        camera="CAM_FRONT",
        timestamp_us=0,
        pixels=np.zeros((rows, cols, 3), np.uint8),
        intrinsic=intrinsic,
        camera_to_ego=camera_to_ego,
        ego_to_global=np.eye(4),
        material=np.where(ground, Material.ASPHALT, Material.SKY).astype(np.uint8),
        label=np.where(ground, 1, 0).astype(np.uint8),
        depth=depth,
    )


def test_height_of_flat_ground_is_zero_and_distance_is_along_the_ray(picture):
    geometry = geometry_of(picture)
    solid = np.isfinite(picture.depth)
    np.testing.assert_allclose(geometry[solid][:, 1], 0, atol=1e-5)
    np.testing.assert_allclose(geometry[solid][:, 0], np.log(picture.depth[solid]), rtol=1e-5)
    assert (geometry[~solid] == 0).all()


def test_lesson_holds_shares_and_standardised_geometry(picture):
    ids = np.array(picture.material)
    ids[8:12, :4] = Material.GRASS
    ids[8, 0] = Material.METAL
    lesson = make_lesson([picture, dataclasses.replace(picture, material=ids)], 4)
    assert lesson.pixels.shape == (2, 3, 16, 24)
    assert lesson.material.shape == (2, 4, 6, len(Material))
    torch.testing.assert_close(lesson.material.sum(-1), torch.ones(2, 4, 6))
    assert lesson.material[1, 2, 0, Material.GRASS] == 15 / 16
    assert lesson.material[1, 2, 0, Material.METAL] == 1 / 16
    assert lesson.solid[0, :, 0].tolist() == [0, 0, 1, 1]
    distance = lesson.geometry[..., 0][lesson.solid > 0]
    torch.testing.assert_close(distance.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert (lesson.geometry[lesson.solid == 0] == 0).all()


def test_shipped_report_names_these_files_and_beats_the_control():
    folder = Path(catalogue.__file__).parent
    facts = json.loads((folder / "tiny.json").read_text())
    for name, digest in facts["sha256"].items():
        assert file_digest(folder / name) == digest
    taught, control = (facts["probe_2d"][name] for name in ("tiny", "random_tiny"))
    assert taught["miou"] > 1.3 * control["miou"]
    assert taught["accuracy"] > control["accuracy"] + 5
    assert "simulator labels" in facts["what"]
    assert StandInSettings.model_validate(facts["settings"]) == StandInSettings()


@pytest.fixture(scope="module")
def quick():
    return StandInSettings(
        world="smoke",
        scenes=2,
        probe_scenes=1,
        probe_cells=500,
        lesson=LessonSettings(steps=3, batch_size=4),
    )


def test_same_seed_makes_the_same_files(quick, tmp_path):
    facts = [make(quick, tmp_path / name) for name in ("one", "two")]
    assert facts[0] == facts[1]
    for name in ("tiny.safetensors", "random_tiny.safetensors", "tiny.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(set(facts[0]["sha256"].values())) == 2


def test_another_seed_starts_elsewhere(picture):
    lesson = make_lesson([picture, picture], 4)
    one, two = (untaught(seed, lesson).stem[0].weight for seed in (0, 1))
    assert not torch.equal(one, two)

"""What the student is fed: channels, scales, range, and which point each row came from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lima_bench.datasets.card import Intensity
from lima_bench.datasets.sample import Frame, Sample
from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.clouds import cloud_of_points, collate_clouds, make_cloud, scaled_intensity
from lima_bench.lima.recipes import Augmentation, InputSettings, StudentSettings, VoxelSettings
from lima_bench.lima.student import Student

SCALE = Intensity(minimum=10.0, maximum=110.0)
GRID = VoxelSettings(kind="cartesian", size=(1.0, 1.0, 1.0))
POINTS = np.array([[3, 4, 1], [30, 40, 2], [0.2, 0, 0], [-6, 8, -1]], dtype=np.float32)
INTENSITY = np.array([10, 20, 60, 110], dtype=np.float32)


def cloud(augmentation=None, rng=None, **inputs):
    student = StudentSettings(voxels=GRID, inputs=InputSettings(**inputs))
    rng = rng or np.random.default_rng(0)
    intensity = scaled_intensity(INTENSITY, SCALE, student.inputs)
    return cloud_of_points(POINTS, intensity, student, augmentation, rng)


def test_channels_come_in_the_order_asked_for():
    made = cloud(channels=("intensity", "z", "x"))
    assert np.array_equal(made.features, np.column_stack((INTENSITY, POINTS[:, 2], POINTS[:, 0])))
    assert made.features.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("raw", [10, 20, 60, 110]),
        ("raw_plus_one", [11, 21, 61, 111]),
        ("unit", [0.0, 0.1, 0.5, 1.0]),
        ("unit_plus_one", [1.0, 1.1, 1.5, 2.0]),
    ],
)
def test_intensity(kind, expected):
    made = cloud(channels=("intensity",), intensity=kind)
    assert made.features[:, 0].tolist() == pytest.approx(expected)


def test_far_points_are_left_out_and_the_rest_keeps_its_indices():
    made = cloud(max_range_m=10.0)
    assert made.point.tolist() == [0, 2, 3]
    assert np.array_equal(made.xyz, POINTS[[0, 2, 3]])
    assert made.features[:, 3].tolist() == [10, 60, 110]


def test_range_is_measured_before_the_cloud_is_scaled():
    grown = Augmentation(rotation_deg=0, flip_probability=0, scale=(2.0, 2.0))
    made = cloud(grown, max_range_m=10.0)
    assert made.point.tolist() == [0, 2, 3]
    assert np.array_equal(made.xyz, 2 * POINTS[[0, 2, 3]])


def test_coordinates_fed_are_the_augmented_ones():
    made = cloud(Augmentation(), channels=("x", "y", "z"))
    assert np.array_equal(made.features, made.xyz)
    assert not np.allclose(made.xyz, POINTS, atol=0.1)
    ratio = np.linalg.norm(made.xyz, axis=1) / np.linalg.norm(POINTS, axis=1)
    assert ratio == pytest.approx(ratio[0])
    assert 0.95 <= ratio[0] <= 1.05


def test_a_seed_fixes_the_augmentation():
    one, same, other = (cloud(Augmentation(), np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one.xyz, same.xyz)
    assert not np.array_equal(one.xyz, other.xyz)


def test_without_augmentation_nothing_is_drawn():
    rng = np.random.default_rng(5)
    cloud(None, rng)
    assert rng.random() == np.random.default_rng(5).random()


def test_a_sample_and_its_points_make_the_same_cloud():
    sample = Sample(frame=Frame("a", "s", 0, 0.0), points=POINTS, intensity=INTENSITY)
    student = StudentSettings(voxels=GRID, inputs=InputSettings(intensity="unit"))
    card = SimpleNamespace(intensity=SCALE)
    made = make_cloud(sample, card, student, Augmentation(), np.random.default_rng(4))
    expected = cloud(Augmentation(), np.random.default_rng(4), intensity="unit")
    assert np.array_equal(made.features, expected.features)
    assert np.array_equal(made.point, expected.point)


def test_collated_rows_follow_cloud_after_cloud():
    student = StudentSettings(voxels=GRID)
    clouds = [cloud(), cloud(max_range_m=0.1), cloud(max_range_m=10.0)]
    voxels = collate_clouds(clouds, student)
    assert voxels.n_clouds == 3
    assert len(voxels.inverse) == 4 + 0 + 3
    assert voxels.coords[voxels.inverse, 0].tolist() == [0, 0, 0, 0, 2, 2, 2]
    fed = torch.from_numpy(np.concatenate([made.features for made in clouds]))
    assert torch.equal(voxels.features[voxels.inverse], fed)


class _Doubled(Backbone):
    width, n_levels = 4, 1

    def forward(self, voxels):
        return 2 * voxels.features


def test_student_gives_every_point_the_feature_of_its_voxel():
    points = np.array([[0, 0, 0], [5, 5, 5], [0.1, 0, 0]], dtype=np.float32)
    student = StudentSettings(voxels=GRID)
    made = cloud_of_points(points, np.float32([1, 2, 3]), student, None, None)
    voxels = collate_clouds([made], student)
    voxels.features.requires_grad_()
    student = Student(_Doubled())
    features = student(voxels)
    assert student.width == 4
    assert features[:, 3].tolist() == [2, 4, 2]
    features.sum().backward()
    assert voxels.features.grad[:, 3].tolist() == [4, 2]


def test_values_without_a_bound_go_through_the_hyperbolic_tangent():
    scale = Intensity(minimum=0, maximum=1.5, unit="tanh")
    values = np.float32([0.0, 0.5, 40.0])
    fed = scaled_intensity(values, scale, InputSettings(intensity="unit"))
    np.testing.assert_allclose(fed, [0.0, 0.46211716, 1.0], rtol=1e-6)
    raw = scaled_intensity(values, scale, InputSettings(intensity="raw"))
    np.testing.assert_array_equal(raw, values)

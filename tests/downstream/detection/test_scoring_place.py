"""Boxes found in the LiDAR frame come out where the official kit would put them."""

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.rigid import rigid, rotation
from lima_bench.downstream.detection.boxes import Detections
from lima_bench.downstream.detection.place import place

FACTS = NuScenes.card.detection
LABEL = {name: label for label, name in enumerate(FACTS.names)}


def found_in(seed: int, n: int) -> Detections:
    generator = torch.Generator().manual_seed(seed)
    boxes = 10 * torch.randn((n, 9), generator=generator)
    boxes[:, 3:6] = boxes[:, 3:6].abs() + 0.1
    score = torch.rand(n, generator=generator).sort(descending=True).values
    return Detections(boxes, score, torch.randint(0, 10, (n,), generator=generator))


def poses(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    turns = rotation(rng.normal(0, [1, 0.03, 0.03, 1], (n, 4)))
    return list(rigid(turns, rng.uniform(100, 900, (n, 3))))


def test_as_the_official_kit_turns_boxes() -> None:
    kit = pytest.importorskip("nuscenes.utils.data_classes")
    from pyquaternion import Quaternion

    frames, places = [found_in(0, 5), found_in(1, 0), found_in(2, 7)], poses(3)
    ours = place(frames, places, FACTS)
    assert ours.frame.tolist() == [0] * 5 + [2] * 7
    row = 0
    for found, pose in zip(frames, places, strict=True):
        pairs = zip(found.boxes.double().numpy(), found.score, found.label, strict=True)
        for (x, y, z, length, width, height, yaw, vx, vy), score, label in pairs:
            turn = Quaternion(axis=[0, 0, 1], radians=yaw)
            box = kit.Box([x, y, z], [width, length, height], turn, velocity=(vx, vy, 0.0))
            box.rotate(Quaternion(matrix=pose[:3, :3], atol=1e-6, rtol=1e-6))
            box.translate(pose[:3, 3])
            np.testing.assert_allclose(ours.centre[row], box.center, atol=1e-9)
            np.testing.assert_allclose(ours.size[row], box.wlh)
            turned = rotation(ours.rotation[row])
            np.testing.assert_allclose(turned, box.orientation.rotation_matrix, atol=1e-9)
            np.testing.assert_allclose(ours.velocity[row], box.velocity[:2], atol=1e-9)
            assert ours.score[row] == float(score) and ours.label[row] == int(label)
            row += 1
    assert row == len(ours.score) == 12
    assert np.linalg.norm(ours.rotation, axis=1) == pytest.approx(1)
    assert (ours.n_points == -1).all()


@pytest.mark.parametrize(
    ("name", "still", "moving"),
    [
        ("car", "vehicle.parked", "vehicle.moving"),
        ("bus", "vehicle.stopped", "vehicle.moving"),
        ("pedestrian", "pedestrian.standing", "pedestrian.moving"),
        ("bicycle", "cycle.without_rider", "cycle.with_rider"),
        ("barrier", "", ""),
    ],
)
def test_attribute_follows_from_speed(name: str, still: str, moving: str) -> None:
    boxes = torch.tensor([[0, 0, 0, 4, 2, 1.5, 0, 0.19, 0], [0, 0, 0, 4, 2, 1.5, 0, 0.15, 0.15]])
    found = Detections(boxes, torch.tensor([0.9, 0.8]), torch.full((2,), LABEL[name]))
    assert place([found], poses(1), FACTS).attribute == (still, moving)


def test_the_best_boxes_of_a_frame_stay() -> None:
    many = found_in(0, 510)
    order = torch.randperm(510, generator=torch.Generator().manual_seed(1))
    mixed = Detections(many.boxes[order], many.score[order], many.label[order])
    ours = place([found_in(3, 4), mixed], poses(2), FACTS)
    assert np.bincount(ours.frame).tolist() == [4, FACTS.most_boxes] == [4, 500]
    np.testing.assert_array_equal(ours.score[4:], many.score[:500].double().numpy())
    assert len(ours.attribute) == 504


def test_nothing_found() -> None:
    for frames in ([], [found_in(0, 0), found_in(1, 0)]):
        ours = place(frames, poses(len(frames)), FACTS)
        assert ours.frame.shape == (0,) and ours.rotation.shape == (0, 4)
        assert ours.label.dtype == np.int64 and ours.attribute == ()


@pytest.mark.parametrize(("column", "value"), [(0, np.nan), (6, np.inf), (4, 0.0), (7, np.nan)])
def test_broken_boxes_are_refused(column: int, value: float) -> None:
    found = found_in(0, 6)
    found.boxes[2, column] = value
    with pytest.raises(UserError, match=r"1 of 6 boxes found are no numbers .* diverged"):
        place([found_in(1, 4), found], poses(2), FACTS)

"""nuScenes: a real keyframe gives the known counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.nuscenes.annotations import inside
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import Sample
from lima_bench.datasets.splits import IncompleteData


@pytest.fixture(scope="module")
def real(samples: Path) -> Sample:
    dataset = NuScenes()
    with pytest.warns(IncompleteData, match="1 of 8 sequences of nuScenes mini_train"):
        (frame,) = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    assert frame.sequence == "scene-0061"
    return dataset.load(frame)


def test_real_recording(real: Sample) -> None:
    assert real.points.shape == (34688, 3) and real.points.dtype == np.float32
    np.testing.assert_allclose(real.points.min(0), [-58.0, -96.3, -3.4], atol=0.06)
    assert real.intensity.mean() == pytest.approx(19.85, abs=0.01)
    np.testing.assert_array_equal(real.ring, np.tile(np.arange(32), 1084))
    assert (np.linalg.norm(real.points[:, :2], axis=1) < 1).sum() == 8220
    assert real.labels is None and real.moving is None


def test_real_pose_chain(real: Sample, samples: Path) -> None:
    path = samples / "nuscenes" / "frame_ca9a282c" / "info.json"
    images = json.loads(path.read_text())["data_list"][0]["images"]
    assert len(real.cameras) == 6
    for camera in real.cameras:
        ours = inverse(camera.camera_to_global) @ real.lidar_to_global
        np.testing.assert_allclose(ours, images[camera.name]["lidar2cam"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(camera.intrinsic, images[camera.name]["cam2img"])
        assert read_image(camera).shape == (900, 1600, 3)


def test_real_boxes_contain_their_points(real: Sample) -> None:
    boxes = real.boxes
    assert boxes is not None and len(boxes.category) == 68
    points = real.points.astype(np.float64)
    counts = [inside(points, boxes, np.arange(68) == b, 0.0).sum() for b in range(68)]
    assert (np.array(counts) == boxes.n_points).sum() == 60
    assert np.isnan(boxes.velocity).all()  # one frame tells no velocity


def test_real_keyframe_alone_is_no_train_set(samples: Path) -> None:
    with pytest.raises(UserError, match="None of the 150 sequences of nuScenes val lies here"):
        NuScenes().frames(samples / "nuscenes" / "frame_ca9a282c", "val")

"""nuScenes: a real keyframe gives the known counts."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_truth_as_prediction_gives_half(samples: Path, tmp_path: Path) -> None:
    """The kit's detection metric on the real boxes: five of ten classes are there, all found."""
    kit = pytest.importorskip("nuscenes.nuscenes")
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
    from nuscenes.eval.detection.algo import accumulate, calc_ap
    from nuscenes.eval.detection.data_classes import DetectionBox

    source = samples / "nuscenes" / "frame_ca9a282c"
    tables = Path(shutil.copytree(source / "v1.0-mini", tmp_path / "v1.0-mini"))
    (tmp_path / "samples").symlink_to(source / "samples")
    # The kit wants a map for every log; the sample has none.
    Image.new("L", (1, 1)).save(tmp_path / "map.png")
    logs = [row["token"] for row in json.loads((tables / "log.json").read_text())]
    row = {"token": "m", "log_tokens": logs, "category": "", "filename": "map.png"}
    (tables / "map.json").write_text(json.dumps([row]))
    nusc = kit.NuScenes("v1.0-mini", str(tmp_path), verbose=False)
    config = config_factory("detection_cvpr_2019")
    truth = add_center_dist(nusc, load_gt(nusc, "mini_train", DetectionBox))
    truth = filter_eval_boxes(nusc, truth, config.class_range)
    found, counts = EvalBoxes(), Counter(box.detection_name for box in truth.all)
    assert counts == {"barrier": 14, "pedestrian": 10, "car": 4, "traffic_cone": 3, "truck": 2}
    for token in truth.sample_tokens:
        boxes = [{**box.serialize(), "detection_score": 1.0} for box in truth[token]]
        found.add_boxes(token, [DetectionBox.deserialize(box) for box in boxes])
    precision = {
        name: [
            calc_ap(accumulate(truth, found, name, config.dist_fcn_callable, distance), 0.1, 0.1)
            for distance in config.dist_ths
        ]
        for name in config.class_names
    }
    for name, values in precision.items():
        np.testing.assert_allclose(values, 1.0 if name in counts else 0.0, atol=1e-12)
    assert np.mean(list(precision.values())) == pytest.approx(0.5)

"""Info files of mmdetection3d, cut to a share of the labels."""

import pickle

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Frame
from lima_bench.downstream.mmdet3d import __main__ as command
from lima_bench.downstream.mmdet3d import labels
from lima_bench.downstream.mmdet3d.labels import write_share

N_SCENES, PER_SCENE = 40, 2
RARE = ("sample-0-", "sample-19-")  # the first scene, and the 20th: one of the two of 5 %


class FewScenes:
    """The real card over frames that lie nowhere."""

    card = NuScenes.card

    def frames(self, root, split):
        assert split == "train"
        return [
            Frame(f"scan-{s}-{i}", f"scene-{s:04}", i, timestamp_s=0.0, alias=f"sample-{s}-{i}")
            for s in range(N_SCENES)
            for i in range(PER_SCENE)
        ]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Files as mmdetection3d 1.4 writes them: frames in its own order, objects by row."""
    monkeypatch.setattr(labels, "open_dataset", lambda name: FewScenes())
    order = np.random.default_rng(0).permutation(N_SCENES * PER_SCENE)
    frames = FewScenes().frames(tmp_path, "train")
    rows = [
        {"sample_idx": row, "token": frames[number].alias, "instances": [{"bbox_3d": [0.5] * 7}]}
        for row, number in enumerate(order)
    ]
    objects = {
        name: [
            {
                "name": name,
                "path": f"nuscenes_gt_database/{row}_{name}_0.bin",
                "image_idx": row,
                "gt_idx": 0,
                "box3d_lidar": np.arange(9, dtype=np.float32) + row,
                "num_points_in_gt": 7,
                "difficulty": np.int32(0),
                "group_id": row,
            }
            for row in range(len(rows))
            if name == "car" or rows[row]["token"].startswith(RARE)
        ]
        for name in ("car", "bus")
    }
    write(tmp_path, rows, objects)
    return tmp_path


def write(root, rows, objects):
    infos = {"metainfo": {"categories": {"car": 0}, "version": "1.1"}, "data_list": rows}
    (root / "nuscenes_infos_train.pkl").write_bytes(pickle.dumps(infos))
    (root / "nuscenes_dbinfos_train.pkl").write_bytes(pickle.dumps(objects))


def test_a_share_is_whole_scenes_and_the_same_objects(root):
    done = write_share(root, "5%")
    assert (done.label, done.n_sequences, done.share.name) == ("train_5", 2, "5%@detection-scene")
    infos = pickle.loads((root / "nuscenes_infos_train_5.pkl").read_bytes())
    assert {row["token"] for row in infos["data_list"]} == {
        f"sample-{s}-{i}" for s in (19, 39) for i in range(PER_SCENE)
    }
    assert infos["metainfo"] == {"categories": {"car": 0}, "version": "1.1"}
    objects = pickle.loads((root / "nuscenes_dbinfos_train_5.pkl").read_bytes())
    rows = {row["sample_idx"] for row in infos["data_list"]}
    assert {one["image_idx"] for one in objects["car"]} == rows
    assert done.n_objects == {"car": 4, "bus": 2}
    box = objects["car"][0]["box3d_lidar"]
    assert box.dtype == np.float32 and box[0] == objects["car"][0]["image_idx"]


def test_shares_are_nested_and_their_names_tell_the_rule(root):
    tokens = []
    for share in ("5%", "10%", "20%"):
        infos = write_share(root, share).files[0]
        rows = pickle.loads(infos.read_bytes())["data_list"]
        tokens.append({row["token"] for row in rows})
    assert tokens[0] < tokens[1] < tokens[2] and len(tokens[2]) == 16
    assert write_share(root, "20%@detection-scene").label == "train_20"
    assert write_share(root, "20%@stride").label == "train_20_stride"


def test_a_class_without_an_object_is_told(root):
    infos = pickle.loads((root / "nuscenes_infos_train.pkl").read_bytes())
    objects = pickle.loads((root / "nuscenes_dbinfos_train.pkl").read_bytes())
    write(root, infos["data_list"], {**objects, "bus": []})
    with pytest.raises(UserError, match="no object of bus"):
        write_share(root, "5%")
    assert not (root / "nuscenes_infos_train_5.pkl").exists()


def test_files_that_do_not_belong_are_told(root):
    infos = pickle.loads((root / "nuscenes_infos_train.pkl").read_bytes())
    whole = (root / "nuscenes_infos_train.pkl").read_bytes()
    (root / "nuscenes_infos_train.pkl").write_bytes(
        pickle.dumps({**infos, "data_list": infos["data_list"][:40]})
    )
    with pytest.raises(UserError, match="of the 16 frames of 20%"):
        write_share(root, "20%")
    (root / "nuscenes_infos_train.pkl").write_bytes(pickle.dumps({"infos": []}))
    with pytest.raises(UserError, match="no info file of mmdetection3d"):
        write_share(root, "20%")
    (root / "nuscenes_infos_train.pkl").write_bytes(whole)
    (root / "nuscenes_dbinfos_train.pkl").unlink()
    with pytest.raises(UserError, match="missing"):
        write_share(root, "20%")


def test_the_command_says_what_it_wrote(root, monkeypatch, capsys):
    line = ["mmdet3d", "labels", str(root), "--share", "5%", "--share", "10%"]
    monkeypatch.setattr("sys.argv", line)
    with pytest.raises(SystemExit) as left:
        command.main()
    out = capsys.readouterr().out.splitlines()
    assert left.value.code == 0 and len(out) == 2
    assert "2 scenes, 4 frames" in out[0] and out[0].endswith("LIMA_BENCH_LABELS=train_5")
    monkeypatch.setattr("sys.argv", ["mmdet3d", "labels", str(root), "--share", "60%"])
    with pytest.raises(SystemExit) as left:
        command.main()
    assert left.value.code == 2 and "60%" in capsys.readouterr().err

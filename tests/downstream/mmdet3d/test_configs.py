"""The configurations parse, and say of grids and inputs what our networks take."""

import ast
import re
from pathlib import Path

import pytest

from lima_bench.downstream.mmdet3d.__main__ import CONFIGS
from lima_bench.downstream.mmdet3d.encoder import LimaVoxelNet

NAMES = {
    "centerpoint_voxel01_4ch.py": (4, 1024),
    "centerpoint_voxel01_5ch.py": (5, 1024),
    "centerpoint_voxel0075_4ch.py": (4, 1440),
    "centerpoint_voxel0075_5ch.py": (5, 1440),
}


class Base(dict):
    """Takes the place of the inherited configuration: anything can be asked and changed."""

    def __missing__(self, key):
        return self.setdefault(key, Base())

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return "data/" if name == "data_root" else self[name]


def merged(below, above):
    for key, value in above.items():
        below[key] = merged(below.get(key, {}), value) if isinstance(value, dict) else value
    return below


def is_base(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_"


def read(name):
    """What a configuration says beside the stock one, our own bases included."""
    tree = ast.parse((CONFIGS / name).read_text())
    assert ast.get_docstring(tree)
    (line,) = (node for node in tree.body if is_base(node))
    base = ast.literal_eval(line.value)
    own = base.startswith("./")
    assert own or base.startswith("mmdet3d::centerpoint/centerpoint_voxel")
    tree.body.remove(line)
    said = {"_base_": Base()}
    exec(compile(tree, name, "exec"), said)
    kept = {k: v for k, v in said.items() if not k.startswith("_")}
    return merged(read(base.removeprefix("./")), kept) if own else kept


def test_all_of_them_are_shipped():
    assert {path.name for path in CONFIGS.glob("*.py")} == NAMES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_they_say_what_our_networks_take(name):
    channels, side = NAMES[name]
    said = read(name)
    assert said["custom_imports"]["imports"] == ["lima_bench.downstream.mmdet3d.plugin"]
    encoder = dict(said["model"]["pts_middle_encoder"])
    assert encoder.pop("type") == "LimaVoxelNet"
    assert encoder.pop("_delete_") is True  # nothing of the stock encoder's settings is kept
    assert encoder["sparse_shape"] == [41, side, side]
    assert said["model"]["pts_voxel_encoder"] == {"num_features": channels}
    built = LimaVoxelNet(**encoder)
    assert built.in_channels == channels and built.name == "voxelnet"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_stock_configuration_does_not_do_is_set_right(name):
    said = read(name)
    assert said["model"]["pts_bbox_head"]["type"] == "LimaCenterHead"
    assert said["optim_wrapper"]["optimizer"]["betas"][0] == 0.95
    assert [said["param_scheduler"][i]["eta_min"] for i in (2, 3)] == [0.85, 0.95]
    pipeline = said["val_dataloader"]["dataset"]["pipeline"]
    assert pipeline[1]["test_mode"] is True


@pytest.mark.parametrize("name", NAMES)
def test_annotations_and_objects_come_from_the_same_share(name):
    dataset = read(name)["train_dataloader"]["dataset"]["dataset"]
    share = "{{$LIMA_BENCH_LABELS:train}}"
    assert dataset["ann_file"] == f"nuscenes_infos_{share}.pkl"
    objects = dataset["pipeline"][3]["db_sampler"]["info_path"]
    assert objects == f"data/nuscenes_dbinfos_{share}.pkl"


def test_only_the_plug_in_itself_needs_packages_of_openmmlab():
    foreign = re.compile(r"^\s*(from|import) (mm\w+|spconv)|optional\(", re.MULTILINE)
    users = {path.name for path in CONFIGS.parent.rglob("*.py") if foreign.search(path.read_text())}
    assert users == {"plugin.py"}


def test_nothing_of_ours_imports_the_plug_in():
    root = Path(__file__).parents[3]
    users = [
        path
        for part in ("common", "datasets", "lima", "downstream", "suites", "results")
        for path in (root / part).rglob("*.py")
        if "import" in path.read_text() and "mmdet3d.plugin" in path.read_text()
    ]
    assert all(path.is_relative_to(root / "downstream" / "mmdet3d") for path in users)

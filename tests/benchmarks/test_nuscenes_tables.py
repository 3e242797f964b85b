"""The generated nuScenes tables have the shape of the real ones and open in our reader."""

import json
from pathlib import Path

import pytest

from benchmarks.nuscenes_tables import write_version
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.splits import IncompleteData

REAL = {"sample_data": 2_631_083 / 34_149, "ego_pose": 2_631_083 / 34_149}
"""Rows per sample in v1.0-trainval, as the official kit prints them."""


def test_the_tables_have_the_shape_of_the_real_ones(tmp_path: Path) -> None:
    folder = write_version(tmp_path, 2)
    tables = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert len(tables) == 14 and len(tables["sample"]) == 82
    for name, per_sample in REAL.items():
        assert len(tables[name]) / 82 == pytest.approx(per_sample, rel=0.01)
    assert len(tables["sample_annotation"]) / 82 == pytest.approx(1_166_187 / 34_149, rel=0.05)
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    assert all(len(tokens[name]) == len(rows) for name, rows in tables.items())
    for row in tables["sample_data"]:
        assert row["sample_token"] in tokens["sample"]
        assert row["ego_pose_token"] in tokens["ego_pose"]
        assert row["calibrated_sensor_token"] in tokens["calibrated_sensor"]
        assert row["prev"] in tokens["sample_data"] or not row["prev"]
    with pytest.warns(IncompleteData):
        frames = NuScenes().frames(tmp_path, "train")
    assert len(frames) == 82

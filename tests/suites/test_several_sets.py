"""One student taught on two data sets at once: other cameras, lenses, scales, sequence names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lima_bench.datasets.world import spec as specs
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.suites import cli

TINY = WorldSpec.model_validate(
    {
        "nuscenes": {
            "train_scenes": 2, "train_keyframes": 2, "pretrain_scenes": 2, "pretrain_keyframes": 2,
            "val_scenes": 1, "val_keyframes": 1, "sweeps_per_keyframe": 0, "azimuths": 90,
            "image_height": 28, "image_width": 48, "max_range_m": 40.0,
        },
        "waymo": {
            "train_segments": 1, "val_segments": 1, "frames": 3, "azimuths": 60,
            "side_azimuths": 12, "side_beams": 6, "image_height": 32, "image_width": 48,
            "max_range_m": 40.0,
        },
    }
)  # fmt: skip
SUITE = """
schema: 1
name: both
title: Taught on two data sets
defaults: {pretrain_on: [nuscenes, waymo]}
rows:
  - matrix: {method: [slidr, scalr, lima]}
    id: "{method}"
  - {id: alone, method: scalr, pretrain_on: waymo}
columns:
  - {id: waymo, task: finetune, on: waymo, labels: 100%}
  - {id: top, task: finetune, on: "waymo:top", labels: 100%}
"""


def test_every_method_learns_from_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(specs.SPECS, "smoke", TINY)
    (tmp_path / "both.yaml").write_text(SUITE)
    words = ("run", "both.yaml", "--profile", "smoke", "--store", "s", "--executor", "inline")
    monkeypatch.setattr(sys, "argv", ["lima-bench", *words, "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["state"] for cell in cells] == ["done"] * 8
    values = {(cell["row"], cell["column"]): cell["value"] for cell in cells}
    assert values["scalr", "waymo"] != values["alone", "waymo"]
    records = [json.loads(path.read_text()) for path in Path("s/features").rglob("*.json")]
    images = {len(record["inputs"]): record["scores"]["images"] for record in records}
    assert images == {1: 15.0, 2: 15.0 + 24.0}  # five cameras on 3 frames, six on 4

"""A data set of one's own is a card and forty lines: the example of CONTRIBUTING.md, run whole."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.api import DATASETS
from lima_bench.suites import cli

ROOT = Path(__file__).parents[2]
SUITE = """
schema: 1
name: mine
title: One column on data of one's own
rows: [{id: random, method: random}]
columns: [{id: track-50%, task: finetune, on: track, labels: 50%}]
"""


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Card, reader, suite and two laps of scans."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a data set")[2]
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL)
    code = dict(reversed(blocks))
    (tmp_path / "card.yaml").write_text(code["yaml"])
    (tmp_path / "track.py").write_text(code["python"])
    (tmp_path / "mine.yaml").write_text(SUITE)
    rng = np.random.default_rng(0)
    for lap, n_scans in (("lap1", 4), ("lap2", 2)):
        folder = tmp_path / "data" / "track" / lap
        folder.mkdir(parents=True)
        for number in range(n_scans):
            points = rng.normal(0, 8, (400, 4)).astype("<f4")
            points.tofile(folder / f"{number}.bin")
            raw = np.where(points[:, 2] < 0, 7, 9).astype("<u4")
            raw[:3] = 77
            raw.tofile(folder / f"{number}.label")
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lima-bench", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_the_reader_has_at_most_forty_lines(track: Path) -> None:
    lines = [line for line in (track / "track.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 40


def test_a_column_on_it_gets_a_number(
    track: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "mine.yaml", "--plug", "track.py", "--data", "data", "--profile", "smoke"]
    assert call(monkeypatch, *words, "--executor", "inline", "--store", "s", "--json") == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["state"] == "done" and 0 <= cell["value"] <= 100
    records = [json.loads(p.read_text()) for p in (track / "s/finetune").rglob("*.json")]
    assert records[0]["details"]["unknown_labels"] == {"77": 6}


def test_without_its_files_it_is_a_hole_with_its_reason(
    track: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", "mine.yaml", "--plug", "track.py", "--profile", "smoke", "--store", "s"]
    assert call(monkeypatch, *words, "--json") == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert "not written as track" in cell["reason"]


def test_a_mistyped_data_root_is_refused(
    track: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "mine.yaml", "--plug", "track.py", "--data", "dta", "--profile", "smoke"]
    assert call(monkeypatch, *words, "--executor", "inline", "--store", "s") == 2
    assert capsys.readouterr().err.startswith("dta\n  There is no such folder.")
    assert not list((track / "s").glob("*/*/*.json"))

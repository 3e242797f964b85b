"""Costs count every attempt of a job."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lima_bench.suites import measure
from lima_bench.suites.measure import Meter


def test_an_interrupted_attempt_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_NOTE_S", 0.0)
    first = Meter(tmp_path)
    time.sleep(0.05)
    first.tick()
    noted = json.loads((tmp_path / "spent.json").read_text())
    assert noted["wall_s"] >= 0.05
    second = Meter(tmp_path).measured(tmp_path / "none")
    assert second["attempts"] == 2
    assert second["wall_hours"] * 3600 >= noted["wall_s"]
    assert second["cpu_hours"] * 3600 >= noted["cpu_s"]


def test_notes_are_rare(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.tick()
    assert not (tmp_path / "spent.json").exists()


def test_disk_counts_every_file_and_memory_is_plausible(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 500)
    measured = Meter(tmp_path).measured(tmp_path / "a")
    assert measured["disk_gb"] == pytest.approx(1.5e-6)
    assert 0.01 < measured["peak_memory_gb"] < 64
    assert measured["attempts"] == 1

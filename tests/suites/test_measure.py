"""Costs count every attempt of a job, its own memory, and whether it ran alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lima_bench.suites import machine, measure, memory
from lima_bench.suites.machine import machine_class
from lima_bench.suites.measure import Meter
from lima_bench.suites.memory import PeakMemory
from lima_bench.suites.presence import Presence

LARGE = 400_000_000


@pytest.fixture(autouse=True)
def own_meeting_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests at work on this machine are no company."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))


def fill() -> None:
    assert len(b"x" * LARGE) == LARGE


def test_an_interrupted_attempt_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_NOTE_S", 0.0)
    first = Meter(tmp_path)
    fill()
    time.sleep(0.05)
    first.tick()
    first.close()
    noted = json.loads((tmp_path / "spent.json").read_text())
    assert noted["wall_s"] >= 0.05
    second = Meter(tmp_path)
    measured = second.measured(tmp_path / "none")
    second.close()
    assert measured["attempts"] == 2
    assert measured["wall_hours"] * 3600 >= noted["wall_s"]
    assert measured["cpu_hours"] * 3600 >= noted["cpu_s"]
    assert measured["peak_resident_gb"] == noted["peak_resident_gb"] > LARGE / 1e9
    assert measured["alone"] is True


@pytest.mark.parametrize("disturbed", ["before", "after"])
def test_a_resumed_job_was_alone_only_if_every_attempt_was(
    disturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_NOTE_S", 0.0)
    other = Presence() if disturbed == "before" else None
    first = Meter(tmp_path)
    first.tick()
    first.close()
    if other:
        other.leave()
    second = Meter(tmp_path)
    if disturbed == "after":
        time.sleep(0.02)
        Presence().leave()
    assert second.measured(tmp_path)["alone"] is False
    second.close()


def test_a_note_of_an_older_version_says_nothing_of_company(tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_text('{"wall_s": 3600.0, "cpu_s": 1800.0, "attempts": 1}')
    meter = Meter(tmp_path)
    measured = meter.measured(tmp_path / "none")
    meter.close()
    assert measured["alone"] is False
    assert measured["wall_hours"] == pytest.approx(1.0, abs=0.01)


def test_notes_are_rare(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.tick()
    meter.close()
    assert not (tmp_path / "spent.json").exists()


def test_disk_counts_every_file_and_memory_is_plausible(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 500)
    meter = Meter(tmp_path)
    measured = meter.measured(tmp_path / "a", samples=4.0)
    meter.close()
    assert measured["disk_gb"] == pytest.approx(1.5e-6)
    assert 0.01 < measured["peak_memory_gb"] < 64
    assert measured["peak_memory_gb"] == measured["peak_resident_gb"]
    assert "peak_device_gb" not in measured and "peak_is_bound" not in measured
    assert measured["attempts"] == 1
    for kind in ("wall", "cpu"):
        per_sample = pytest.approx(measured[f"{kind}_hours"] * 3600 / 4)
        assert measured[f"{kind}_seconds_per_sample"] == per_sample
    assert measured["machine_class"] == machine_class("cpu")
    json.dumps(measured, allow_nan=False)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lowers marks")
def test_a_small_job_after_a_large_one_reports_its_own_peak() -> None:
    large = PeakMemory()
    fill()
    before = large.taken()["peak_resident_gb"]
    small = PeakMemory().taken()
    assert small["peak_resident_gb"] < before - 0.8 * LARGE / 1e9
    assert "peak_is_bound" not in small


def test_where_no_mark_can_be_lowered_a_peak_is_only_a_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path / "none")
    fill()
    assert PeakMemory().taken()["peak_is_bound"] is True
    # A process of its own has no earlier job to report.
    alone = PeakMemory(own_process=True).taken()
    assert "peak_is_bound" not in alone and alone["peak_resident_gb"] > LARGE / 1e9


def test_a_large_child_of_this_job_counts_and_one_of_another_job_does_not() -> None:
    # Larger than this process and its children grew in tests before.
    size = LARGE + int(1e9 * max(memory._marked_gb(), memory._children_gb()))
    command = [sys.executable, "-c", f"b = b'x' * {size}"]
    watch = PeakMemory()
    subprocess.run(command, check=True)
    taken = watch.taken()
    assert taken["peak_resident_gb"] > size / 1e9
    small = PeakMemory().taken()
    assert small["peak_resident_gb"] < size / 1e9
    watch = PeakMemory()
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    # This child's peak hides behind that of the earlier one: nobody can tell.
    assert watch.taken()["peak_is_bound"] is True


def test_the_gpu_is_asked_where_the_job_uses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        reset_peak_memory_stats=lambda device: asked.append(("reset", device)),
        max_memory_allocated=lambda device: 12_430_000_000,
        max_memory_reserved=lambda device: 14_000_000_000,
        get_device_name=lambda device: f"GPU of {device}",
    )
    torch = SimpleNamespace(cuda=cuda, get_num_threads=lambda: 1)
    monkeypatch.setitem(sys.modules, "torch", torch)
    meter = Meter(tmp_path, device="cuda:1", cores=4)
    measured = meter.measured(tmp_path / "none")
    meter.close()
    assert asked == [("reset", "cuda:1")]
    assert measured["peak_memory_gb"] == measured["peak_device_gb"] == 12.43
    assert measured["peak_device_reserved_gb"] == 14.0
    assert 0.01 < measured["peak_resident_gb"] < 10
    assert measured["machine_class"] == f"GPU of cuda:1, {machine.processor()}, 4 cores"
    cuda.is_initialized = lambda: False
    assert "peak_device_gb" not in PeakMemory("cuda:1").taken()


def test_a_class_of_machine_is_model_and_cores() -> None:
    assert machine.processor()
    assert machine_class("cpu", 3) == f"{machine.processor()}, 3 cores"
    assert "core" in machine_class("cpu")

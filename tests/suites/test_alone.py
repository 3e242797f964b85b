"""A time that was measured beside other work is flagged, and measured again by the next run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lima_bench.results.record import Record
from lima_bench.results.store import Store
from lima_bench.suites import tables, work
from lima_bench.suites.presence import Presence
from lima_bench.suites.verbs import run as run_verb

Call = Callable[..., tuple[int, str, str]]
ROWS = ("--only", "scalr-1,lima-6")
RUN = ("--executor", "inline", "--quiet")
DRIVER = Path(__file__).with_name("driver.py")


@pytest.fixture
def call(
    command_line: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fake_stages: dict[str, str],
) -> Call:
    """`command_line`, where nothing is trained or compiled and nobody else works.

    Scores are made up, so no golden number is asked what it says of them.
    """
    monkeypatch.setattr(run_verb, "STAGE_FUNCTIONS", fake_stages)
    monkeypatch.setattr(tables, "read_golden", lambda suite, profile: {})
    monkeypatch.setattr(run_verb, "compile_ahead", lambda: None)
    meeting = tmp_path / "tmp"
    meeting.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(meeting))
    return command_line


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it keeps what `beside` made."""
    return tmp_path_factory.mktemp("kept") / "made"


@pytest.fixture
def beside(call: Call, tmp_path: Path, kept: Path) -> Call:
    """`call`, after table 1's LiMA and ScaLR were run while another process worked too."""
    if kept.exists():
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        return call
    other = Presence()
    words = ("--only", "scalr,lima", "--columns", "nus-lp,nus-1%,kitti-1%")
    code, _, err = call("run", "table1", *words, *RUN)
    assert (code, err) == (0, "")
    other.leave()
    shutil.copytree(tmp_path, kept, ignore=shutil.ignore_patterns("tmp"))
    return call


def records(folder: Path) -> dict[str, Record]:
    return {record.key: record for record in Store.open(folder / "runs").records()}


def begun(folder: Path) -> Counter[str]:
    lines = (folder / "calls.txt").read_text().splitlines()
    return Counter(line.split()[1] for line in lines if line.startswith("begin "))


def cells(call: Call) -> dict[tuple[str, str], dict]:
    out = call("show", "efficiency", *ROWS, "--json")[1]
    return {(cell["row"], cell["column"]): cell for cell in json.loads(out)["cells"]}


def test_a_time_beside_other_work_is_marked_and_open(beside: Call, tmp_path: Path) -> None:
    assert {record.measured["alone"] for record in records(tmp_path).values()} == {False}
    shown = cells(beside)
    assert shown["lima-6", "hours"]["state"] == "disturbed"
    assert shown["lima-6", "hours"]["verdict"] == "limited"
    assert shown["lima-6", "hours"]["reason"] == "features, pretrain ran beside other work"
    assert shown["lima-6", "memory"]["state"] == shown["lima-6", "nus-lp"]["state"] == "done"
    out = beside("show", "efficiency", *ROWS)[1]
    assert "∥ measured beside other work" in out
    assert beside("check", "efficiency", *ROWS)[0] == 4
    plan = beside("plan", "efficiency", *ROWS)[1]
    assert "(2 only to be measured alone)" in plan
    out = beside("show", "table1", "--only", "scalr,lima")[1]
    assert "Costs of all rows were measured beside other work" in " ".join(out.split())


def test_the_next_run_measures_again_alone_and_changes_nothing_else(
    beside: Call, tmp_path: Path
) -> None:
    before, calls = records(tmp_path), begun(tmp_path)
    contents = {p: p.read_bytes() for p in (tmp_path / "runs" / "artifacts").rglob("content")}
    assert beside("run", "efficiency", *ROWS, *RUN) == (0, "", "")
    after = records(tmp_path)
    assert begun(tmp_path) - calls == {"features": 1, "pretrain": 2}
    assert after.keys() == before.keys()
    for key, record in after.items():
        assert record.fingerprint == before[key].fingerprint
        assert record.provenance == before[key].provenance
        timed = record.stage in ("features", "pretrain")
        assert record.measured["alone"] is timed
        assert (record.measured == before[key].measured) is not timed
    assert {p: p.read_bytes() for p in contents} == contents
    assert not any((tmp_path / "runs" / "partial").iterdir())
    shown = cells(beside)
    assert shown["lima-6", "hours"]["state"] == "done"
    assert beside("check", "efficiency", *ROWS)[0] == 0
    own = next(r for r in after.values() if r.config.get("method") == "lima")
    shared = next(r for r in after.values() if r.stage == "features")
    both = own.measured["wall_hours"] + shared.measured["wall_hours"]
    assert shown["lima-6", "hours"]["value"] == pytest.approx(both)
    assert own.measured["samples"] == own.config["recipe"]["batch_size"]


def test_loops_are_compiled_before_times_are_taken_and_only_then(
    beside: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(run_verb, "compile_ahead", lambda: compiled.append("now"))
    beside("run", "efficiency", *ROWS, "--columns", "memory,nus-lp", *RUN)
    assert compiled == []
    beside("run", "efficiency", *ROWS, *RUN)
    beside("run", "efficiency", *ROWS, *RUN)
    assert compiled == ["now"]


def test_a_third_run_does_nothing(beside: Call, tmp_path: Path) -> None:
    beside("run", "efficiency", *ROWS, *RUN)
    calls = begun(tmp_path)
    assert beside("run", "efficiency", *ROWS, *RUN) == (0, "", "")
    assert begun(tmp_path) == calls


def test_lines_tell_what_is_only_measured(beside: Call) -> None:
    err = beside("run", "efficiency", *ROWS, "--executor", "inline")[2]
    assert err.count("measured pretrain") == 2 and "done pretrain" not in err


def test_a_repeat_that_gives_something_else_takes_nothing_over(
    beside: Call, tmp_path: Path
) -> None:
    before = records(tmp_path)
    (tmp_path / "behave.json").write_text('{"pretrain": "other"}')
    code, _, err = beside("run", "efficiency", *ROWS, *RUN)
    assert code == 2
    assert 'gave another "steps" than its record' in " ".join(err.split())
    assert "Its measures were not taken over." in " ".join(err.split())
    after = records(tmp_path)
    assert {k: r for k, r in after.items() if r.stage == "pretrain"} == {
        k: r for k, r in before.items() if r.stage == "pretrain"
    }
    assert cells(beside)["lima-6", "hours"]["state"] == "disturbed"


def test_who_is_not_alone_again_stays_marked(beside: Call, tmp_path: Path) -> None:
    other = Presence()
    assert beside("run", "efficiency", *ROWS, *RUN)[0] == 0
    other.leave()
    assert cells(beside)["scalr-1", "hours"]["state"] == "disturbed"


def test_classes_of_machines_in_one_column_are_told(beside: Call, tmp_path: Path) -> None:
    beside("run", "efficiency", *ROWS, *RUN)
    store = Store.open(tmp_path / "runs")
    (lima,) = [r for r in store.records("pretrain") if r.config["method"] == "lima"]
    store.put(
        work.replace(lima, measured={**lima.measured, "machine_class": "Another Chip, 64 cores"})
    )
    out = " ".join(beside("show", "efficiency", *ROWS)[1].split())
    assert "Column time mixes numbers made on" in out and "Another Chip, 64 cores" in out
    assert "Column LP mixes" not in out


def test_waits_and_interruptions_are_told(beside: Call, tmp_path: Path) -> None:
    beside("run", "efficiency", *ROWS, *RUN)
    store = Store.open(tmp_path / "runs")
    (lima,) = [r for r in store.records("pretrain") if r.config["method"] == "lima"]
    changed = {"wall_hours": 1.0, "waited_hours": 0.25, "attempts": 3}
    store.put(work.replace(lima, measured={**lima.measured, **changed}))
    out = " ".join(beside("show", "efficiency", *ROWS)[1].split())
    assert "Interrupted and taken up again, all attempts counted: pretrain lima 6 frames" in out
    assert "pretrain lima 6 frames seed 0 (25% of its time)" in out
    assert "time: wall time with the cached stages that it reads counted in." in out


def test_a_record_without_the_number_is_a_hole(beside: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        "rows:\n  - {id: scalr, method: scalr}\n"
        "columns:\n  - {id: gpu, measure: pretrain.peak_device_gb, better: lower}\n"
        "  - {id: steps, measure: pretrain.scores.steps}\n"
    )
    out = json.loads(beside("show", "mine.yaml", "--json")[1])["cells"]
    gpu, steps = out
    assert (gpu["value"], gpu["reason"]) == (None, "no record holds pretrain.peak_device_gb")
    assert (steps["value"], steps["state"]) == (1.0, "done")


def test_figures_are_exported(beside: Call, tmp_path: Path) -> None:
    words = ("efficiency", "--only", "lima-5,lima-6", "--columns", "memory")
    code, _, err = beside("export", "efficiency", *ROWS, "--figures", "figures")
    assert code == 2 and "has nothing to draw yet" in err
    beside("run", *words, *RUN)
    code, out, _ = beside("export", *words, "--figures", "figures")
    assert (code, out.count("Written:")) == (0, 2)
    assert (tmp_path / "figures" / "efficiency.embedded.frames.png").stat().st_size > 10_000


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_a_small_job_after_a_large_one_reports_its_own_peak(executor: str, tmp_path: Path) -> None:
    """Also where one process does both, and where both are forked from one server."""
    (tmp_path / "behave.json").write_text('{"features": "large"}')
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path / "store"), "1", executor],
        env=environment, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    found = list(Store.open(tmp_path / "store").records())
    peaks = {record.stage: record.measured["peak_memory_gb"] for record in found}
    assert all("peak_is_bound" not in record.measured for record in found)
    assert peaks["features"] > max(peaks[s] for s in peaks if s != "features") + 0.3
    assert {record.measured["alone"] for record in found} == {True}

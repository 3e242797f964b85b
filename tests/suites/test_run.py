"""Runs with stage functions that train nothing: order, failures, interruption, two drivers."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from lima_bench.common.errors import UserError
from lima_bench.results.store import Store
from lima_bench.suites.executors.base import make_executor
from lima_bench.suites.executors.process import ProcessExecutor

DRIVER = Path(__file__).with_name("driver.py")
HANG_S = 120
"""Only a driver that hangs takes so long, however busy the machine."""
N_JOBS = 1 + 1 + 1 + 3 + 6


def drive(store: Path, jobs: int = 2, executor: str = "process") -> subprocess.Popen[str]:
    command = [sys.executable, str(DRIVER), str(store), str(jobs), executor]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], *, noisy: bool = False) -> tuple[int, str]:
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode in (0, 2, 3, 130), err
    assert ("noise" in err) == noisy, err  # what jobs print stays out of the driver's output
    return process.returncode, out


def behave(folder: Path, **how: str) -> None:
    (folder / "behave.json").write_text(json.dumps(how))


def calls(folder: Path, word: str = "end") -> list[list[str]]:
    path = folder / "calls.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1:] for line in lines if line.startswith(f"{word} ")]


def fingerprints(store: Path) -> dict[str, str]:
    return {record.key: record.fingerprint for record in Store.open(store).records()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one undisturbed run, with two jobs at a time."""
    folder = tmp_path_factory.mktemp("reference")
    code, out = finish(drive(folder / "store"))
    assert code == 0, out
    return folder


def test_every_job_runs_once_in_a_process_of_its_own(reference: Path) -> None:
    done = calls(reference)
    assert len(done) == N_JOBS == len({key for _, key, _ in done})
    assert len({pid for *_, pid in done}) == N_JOBS


def test_no_job_begins_before_what_it_reads_has_ended(reference: Path) -> None:
    lines = (reference / "calls.txt").read_text().splitlines()
    events = [tuple(line.split()[::2]) for line in lines]  # word and key
    place = {event: number for number, event in enumerate(events)}
    records = list(Store.open(reference / "store").records())
    pairs = [(source, record.key) for record in records for source in record.inputs.values()]
    assert len(pairs) > N_JOBS
    for source, reader in pairs:
        assert place["end", source] < place["begin", reader]


def test_records_hold_what_was_measured_and_what_made_them(reference: Path) -> None:
    records = list(Store.open(reference / "store").records())
    assert len(records) == N_JOBS
    for record in records:
        assert record.measured["peak_memory_gb"] > 0.005
        assert (record.measured["disk_gb"] > 0) == record.details["artifact"]
        assert 0 <= record.measured["wall_hours"] < 0.01
        assert record.provenance["packages"]["numpy"]
        assert len(record.provenance["code"]) == 64
    scores = [r for r in records if r.stage == "finetune"]
    assert all(0 <= record.scores["miou"] < 1 for record in scores)
    assert str(Path.home()) not in json.dumps([dict(r.provenance) for r in records])


def test_nothing_unfinished_stays_behind(reference: Path) -> None:
    store = reference / "store"
    assert not any((store / "partial").iterdir())
    with_artifact = {r.key for r in Store.open(store).records() if r.details["artifact"]}
    assert {path.name for path in (store / "artifacts").iterdir()} == with_artifact


def test_sacred_sees_every_job(reference: Path) -> None:
    store = Store.open(reference / "store")
    for record in store.records():
        folder = store.sacred(record.key)
        run = json.loads((folder / "run.json").read_text())
        config = json.loads((folder / "config.json").read_text())
        told = folder / "info.json"
        info = json.loads(told.read_text()) if told.exists() else {}
        metrics = json.loads((folder / "metrics.json").read_text())
        assert run["status"] == "COMPLETED"
        assert run["result"] == record.scores.get("miou", 1.0)
        assert config["stage"] == record.stage
        assert metrics["loss"]["values"] in ([0.5], [0.25])
        assert info.get("artifact") == (
            f"artifacts/{record.key}" if record.details["artifact"] else None
        )


def test_a_second_run_does_nothing(reference: Path) -> None:
    before = calls(reference, "begin")
    assert finish(drive(reference / "store"))[0] == 0
    assert calls(reference, "begin") == before


def test_one_job_at_a_time_in_this_process_gives_the_same(reference: Path, tmp_path: Path) -> None:
    assert finish(drive(tmp_path / "store", 1, "inline"), noisy=True)[0] == 0
    assert fingerprints(tmp_path / "store") == fingerprints(reference / "store")
    assert len({pid for *_, pid in calls(tmp_path)}) == 1


def test_a_defect_skips_what_reads_it_and_nothing_else(tmp_path: Path) -> None:
    behave(tmp_path, superpixels="fail")
    code, out = finish(drive(tmp_path / "store"))
    assert code == 3
    assert "failed superpixels slic nuscenes" in out
    assert "ValueError: a defect" in out
    assert out.count("skipped") == 3
    store = Store.open(tmp_path / "store")
    done = Counter(record.stage for record in store.records())
    assert done == {"world": 1, "features": 1, "pretrain": 2, "linear_probe": 2, "finetune": 2}
    (failed,) = [path for path in (tmp_path / "store" / "partial").iterdir()]
    assert store.failure(failed.name) == "ValueError: a defect"
    assert "Traceback" in (failed / "error.txt").read_text()
    assert "noise of superpixels" in (failed / "output.txt").read_text()
    behave(tmp_path)
    assert finish(drive(tmp_path / "store"))[0] == 0
    assert store.failure(failed.name) is None
    assert len(calls(tmp_path)) == N_JOBS


def test_what_the_user_can_mend_is_told_without_traceback(tmp_path: Path) -> None:
    behave(tmp_path, features="user")
    code, out = finish(drive(tmp_path / "store"))
    assert code == 2
    assert "scan.bin It is truncated. Copy it again." in out
    assert "Traceback" not in out


def test_a_killed_worker_is_tried_again_with_its_state(reference: Path, tmp_path: Path) -> None:
    behave(tmp_path, pretrain="die-once")
    code, out = finish(drive(tmp_path / "store"))
    assert (code, out.count("died pretrain")) == (0, 3)
    assert "signal SIGKILL" in out
    assert fingerprints(tmp_path / "store") == fingerprints(reference / "store")


def test_a_worker_that_always_dies_is_given_up(tmp_path: Path) -> None:
    behave(tmp_path, world="die")
    code, out = finish(drive(tmp_path / "store"))
    assert (code, out.count("died world")) == (3, 3)
    assert len(calls(tmp_path, "begin")) == 1 + 2 + 1  # the first weights need no world


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_worker_and_goes_on(
    number: signal.Signals, reference: Path, tmp_path: Path
) -> None:
    behave(tmp_path, pretrain="forever")
    driver = drive(tmp_path / "store")
    wait_for(lambda: [c for c in calls(tmp_path, "begin") if c[0] == "pretrain"])
    # What was computed but not yet recorded is rightly computed again.
    caches = ("world", "features", "superpixels")
    wait_for(lambda: all(any((tmp_path / "store" / s).rglob("*.json")) for s in caches))
    workers = [int(pid) for _, _, pid in calls(tmp_path, "begin")]
    finished = calls(tmp_path)
    driver.send_signal(number)
    driver.communicate(timeout=HANG_S)
    assert driver.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in workers), 5.0)
    behave(tmp_path)
    assert finish(drive(tmp_path / "store"))[0] == 0
    assert fingerprints(tmp_path / "store") == fingerprints(reference / "store")
    assert calls(tmp_path)[: len(finished)] == finished
    assert len(calls(tmp_path)) == N_JOBS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_ends_with_130_when_interrupted(
    number: signal.Signals, tmp_path: Path
) -> None:
    behave(tmp_path, pretrain="forever")
    driver = subprocess.Popen(
        [sys.executable, str(DRIVER), str(tmp_path / "store"), "cli"],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: [c for c in calls(tmp_path, "begin") if c[0] == "pretrain"])
    driver.send_signal(number)
    _, err = driver.communicate(timeout=HANG_S)
    assert driver.returncode == 130
    assert "Interrupted. What was finished is kept; the same command goes on." in err
    assert "Traceback" not in err
    workers = [int(pid) for _, _, pid in calls(tmp_path, "begin")]
    wait_for(lambda: not any(alive(pid) for pid in workers), 5.0)


def test_two_drivers_share_the_work(reference: Path, tmp_path: Path) -> None:
    behave(tmp_path, pretrain="slow", linear_probe="slow", world="slow")
    drivers = [drive(tmp_path / "store"), drive(tmp_path / "store", 1)]
    codes, outs = zip(*(finish(driver) for driver in drivers), strict=True)
    assert codes == (0, 0)
    assert Counter(key for _, key, _ in calls(tmp_path, "begin")).most_common(1)[0][1] == 1
    assert len(calls(tmp_path)) == N_JOBS
    assert "by another run" in "".join(outs)
    assert fingerprints(tmp_path / "store") == fingerprints(reference / "store")


def test_a_driver_takes_over_when_the_other_dies(tmp_path: Path) -> None:
    behave(tmp_path, world="forever")
    first = drive(tmp_path / "store", 1)
    wait_for(lambda: calls(tmp_path, "begin"))
    second = drive(tmp_path / "store", 1)
    assert second.stdout is not None
    lines = iter(second.stdout.readline, "")
    assert any("another run is at it: world" in line for line in lines)
    behave(tmp_path)
    first.kill()
    first.communicate()
    second.communicate(timeout=HANG_S)
    assert second.returncode == 0
    assert len(calls(tmp_path)) == N_JOBS


def test_executors_that_are_not_there_say_so() -> None:
    with pytest.raises(UserError, match="The executor slurm is not built yet"):
        make_executor("slurm", 1, [])
    with pytest.raises(UserError, match=r'There is no executor "proces". Did you mean "process"'):
        make_executor("proces", 1, [])


def test_an_interrupt_while_a_worker_starts_leaves_it_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start() -> None:
        raise KeyboardInterrupt

    ours, theirs = multiprocessing.Pipe()
    starting = SimpleNamespace(start=start, pid=None)
    context = SimpleNamespace(Pipe=lambda: (ours, theirs), Process=lambda **_: starting)
    executor = ProcessExecutor(1, ())
    monkeypatch.setattr(executor, "_context", context)
    with pytest.raises(KeyboardInterrupt):
        executor.start(SimpleNamespace())
    assert executor.free == 0
    executor.stop()
    assert executor.free == 1
    assert ours.closed  # so a child that did start reads the end of its pipe, and dies

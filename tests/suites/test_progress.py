"""What is told while a run goes, and how long it says the rest will take."""

from __future__ import annotations

import io

import pytest

from lima_bench.suites.job import Job
from lima_bench.suites.order import Event
from lima_bench.suites.progress import Bars, Clock, Lines, Silent, make_listener, span

JOBS = [Job("pretrain", 1, {"method": name}, 0) for name in ("slidr", "lima")]
HOURS = {JOBS[0].key: 1.0, JOBS[1].key: 3.0}


def test_the_clock_counts_work_not_jobs() -> None:
    clock = Clock(HOURS, begun=100.0)
    assert (clock.fraction, clock.remaining_s(200.0)) == (0.0, None)
    clock.over.add(JOBS[0].key)
    assert clock.fraction == 0.25
    assert clock.remaining_s(200.0) == pytest.approx(300.0)
    assert clock.remaining_s(101.0) is None
    clock.part[JOBS[1].key] = 0.5
    assert clock.fraction == 0.625
    assert clock.remaining_s(200.0) == pytest.approx(60.0)
    clock.over.add(JOBS[1].key)
    assert (clock.fraction, clock.remaining_s(200.0)) == (1.0, 0.0)


def test_lines_tell_what_became_of_every_job() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(HOURS)
    lines.started(JOBS[0])
    lines.progress(JOBS[0], 5, 10)
    lines.ended(JOBS[0], Event(JOBS[0].key, "died", message="The worker ended by signal SIGKILL."))
    lines.ended(JOBS[0], Event(JOBS[0].key, "failed", message="Traceback …\nValueError: no"))
    lines.skipped(JOBS[1], JOBS[0])
    assert stream.getvalue().splitlines() == [
        "2 jobs to do",
        "[0/2] died pretrain slidr seed 0: The worker ended by signal SIGKILL.",
        "[1/2] failed pretrain slidr seed 0: ValueError: no",
        "[2/2] skipped pretrain lima seed 0: pretrain slidr seed 0 failed",
    ]


def test_bars_survive_every_turn_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.begin(HOURS)
    for job in JOBS:
        bars.started(job)
        bars.progress(job, 1, 2)
        bars.ended(job, Event(job.key, "busy"))
        bars.ended(job, Event(job.key, "done", facts={"hours": 0.5}))
    bars.skipped(JOBS[1], JOBS[0])
    bars.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert "done pretrain lima seed 0   30 min" in err


def test_nothing_is_told_when_quiet_and_lines_where_there_is_no_terminal() -> None:
    assert type(make_listener(quiet=True)) is Silent
    assert type(make_listener(quiet=False, stream=io.StringIO())) is Lines


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (7200, "2.0 h")]
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text

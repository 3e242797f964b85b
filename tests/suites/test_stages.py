"""The real stages, end to end, on a world of a few frames: nothing is faked but the sizes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lima_bench.results.store import Store
from lima_bench.suites import work
from lima_bench.suites.executors.inline import InlineExecutor
from lima_bench.suites.plan import Plan
from lima_bench.suites.progress import Silent
from lima_bench.suites.run import Report, Setup, execute
from lima_bench.suites.session import Request, Session, open_session
from lima_bench.suites.stages import STAGE_FUNCTIONS
from lima_bench.suites.tables import table_of

WORLD = {
    "seed": 5,
    "nuscenes": {
        "train_scenes": 2,
        "train_keyframes": 1,
        "pretrain_scenes": 2,
        "pretrain_keyframes": 2,
        "val_scenes": 1,
        "azimuths": 160,
    },
    "semantickitti": {"train_scans": 1, "val_scans": 1},
}
SETS = (
    f"profile.data.settings={json.dumps(WORLD)}",
    "pretrain.length.steps=4",
    "pretrain.checkpoint_steps=1",
    "linear_probe.length.steps=3",
    "linear_probe.checkpoint_steps=1",
    "finetune.length.steps=2",
)
ROWS, COLUMNS = "random,slidr,scalr,lima", "nus-lp,nus-100%,kitti-1%"


def session_at(store: Path, rows: str = ROWS, columns: str = COLUMNS) -> Session:
    request = Request(
        suite="table1", profile="smoke", only=rows, columns=columns, store=store, sets=SETS
    )
    return open_session(request, write=True)


def run(session: Session) -> tuple[Plan, Report]:
    setup = Setup(session.store, STAGE_FUNCTIONS, session.code)
    report = execute(session.plan(), setup, InlineExecutor(), Silent())
    assert not report.failed, next(iter(report.failed.values())).message
    return session.plan(), report


def fingerprints(store: Path) -> dict[str, str]:
    return {r.key: r.fingerprint for r in Store.open(store, write=False).records()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every job of the small table."""
    store = tmp_path_factory.mktemp("stages") / "store"
    run(session_at(store))
    return store


def test_every_stage_does_its_work(finished: Path) -> None:
    session = session_at(finished)
    plan = session.plan()
    assert plan.todo == []
    records = [plan.records[key] for key in plan.steps]
    assert {record.stage for record in records} == set(STAGE_FUNCTIONS) - {
        "adopt",
        "clusters",
        "detect",
    }
    for record in records:
        if record.stage in ("linear_probe", "finetune"):
            assert 0 <= record.scores["miou"] <= 100
            assert record.details["train_frames"] >= 1
            assert len(record.details["label_share"]) == 64
        else:
            assert record.details["artifact"]
    taught = {r.config["method"]: r for r in records if r.stage == "pretrain"}
    assert {name: r.scores["steps"] for name, r in taught.items()} == {
        "random": 0,
        "slidr": 4,
        "scalr": 4,
        "lima": 4,
    }
    digests = {r.details["checkpoint_digest"] for r in taught.values()}
    assert len(digests) == 4


def test_the_table_has_a_number_in_every_cell(finished: Path) -> None:
    session = session_at(finished)
    table = table_of(session, session.plan())
    assert len(table.cells) == 12
    assert all(cell.mean is not None for cell in table.cells.values())
    assert set(table.costs) == {"slidr", "scalr", "lima"}
    assert table.splits is not None
    assert {"miou_seen", "miou_unseen"} <= {column.id for column in table.splits.columns}
    assert "lima - scalr" in {row.id for row in table.splits.rows}


def without(store: Path, copy: Path, *stages: str) -> Path:
    """A copy of the store that lacks the records of `stages`."""
    shutil.copytree(store, copy)
    for stage in stages:
        shutil.rmtree(copy / stage)
    return copy


def cut_at(monkeypatch: pytest.MonkeyPatch, stage: str, step: int) -> Callable[[], list[int]]:
    """Interrupt a stage after `step`; gives the steps that its later runs do."""
    seen: list[int] = []
    plain = work._context

    def spy(store: Store, order, state: Path, artifact: Path, report):
        def watch(done: int, total: int, metrics=None) -> None:
            report(done, total, metrics)
            if order.job.stage == stage and order.job.config.get("method", "lima") == "lima":
                seen.append(done)
                if len(seen) == step:
                    raise KeyboardInterrupt

        return plain(store, order, state, artifact, watch)

    monkeypatch.setattr(work, "_context", spy)
    return lambda: seen[step:]


@pytest.mark.parametrize("stage", ["pretrain", "linear_probe"])
def test_an_interrupted_job_goes_on_and_ends_with_the_same_bits(
    stage: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A score that is there would need no pretraining.
    store = without(finished, tmp_path / "store", *{stage, "linear_probe"})
    later = cut_at(monkeypatch, stage, 2)
    session = session_at(store, "lima", "nus-lp")
    with pytest.raises(KeyboardInterrupt):
        run(session)
    assert any((store / "partial").iterdir())
    run(session)
    assert later()[0] == 3
    again, before = fingerprints(store), fingerprints(finished)
    key = next(c.jobs[0] for c in session.expansion.cells)
    chain = session.expansion.upstream([key])
    assert [again[k] for k in chain] == [before[k] for k in chain]


def test_state_of_other_code_is_not_taken_up(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = without(finished, tmp_path / "store", "linear_probe")
    later = cut_at(monkeypatch, "linear_probe", 2)
    session = session_at(store, "lima", "nus-lp")
    with pytest.raises(KeyboardInterrupt):
        run(session)
    for marker in (store / "partial").glob("*/code"):
        marker.write_text("of another day")
    run(session)
    assert later()[0] == 1


def test_another_seed_gives_another_number(finished: Path) -> None:
    session = session_at(finished, "random", "nus-lp")
    other = open_session(
        Request(
            suite="table1",
            profile="smoke",
            only="random",
            columns="nus-lp",
            store=finished,
            sets=SETS,
            seeds=(1,),
        ),
        write=True,
    )
    run(other)
    values = {
        seed: one.plan().records[cell.jobs[seed]].scores["miou"]
        for one in (session, other)
        for cell in one.expansion.cells
        for seed in cell.jobs
    }
    assert values[0] != values[1]

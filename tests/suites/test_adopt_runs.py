"""Adopted weights in the real stages: what is probed is what was planned with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.results.store import Store
from lima_bench.suites.adopted import read_adopted
from lima_bench.suites.executors.inline import InlineExecutor
from lima_bench.suites.progress import Silent
from lima_bench.suites.run import Setup, execute
from lima_bench.suites.session import Request, open_session
from lima_bench.suites.stages import STAGE_FUNCTIONS
from lima_bench.suites.verbs import adopt as verb
from tests.suites.test_adopt import ours

WORLD = {
    "seed": 5,
    "nuscenes": {
        "train_scenes": 1,
        "train_keyframes": 1,
        "pretrain_scenes": 1,
        "pretrain_keyframes": 1,
        "val_scenes": 1,
        "azimuths": 120,
    },
}
SETS = (
    f"profile.data.settings={json.dumps(WORLD)}",
    "linear_probe.length.steps=3",
    "linear_probe.checkpoint_steps=1",
)


def test_the_real_stages_probe_it(tmp_path: Path) -> None:
    """A probe sees the features of the adopted weights: other weights, another score."""
    store = tmp_path / "store"
    for name, seed in (("one", 1), ("two", 2)):
        path = ours(tmp_path / f"{name}.bin", seed=seed)
        assert verb.adopt(verb.Wish(weights=path, name=name, store=store)) == 0
    request = Request(
        suite="table1",
        profile="smoke",
        only="one,two",
        columns="nus-lp",
        store=store,
        sets=SETS,
    )
    session = open_session(request, write=True)
    setup = Setup(session.store, STAGE_FUNCTIONS, session.code)
    report = execute(session.plan(), setup, InlineExecutor(), Silent())
    assert not report.failed, next(iter(report.failed.values())).message
    plan = session.plan()
    assert plan.todo == []
    taken = [r for r in Store.open(store).records("adopt")]
    digests = {entry.file.digest for entry in read_adopted(store).values()}
    assert {record.details["checkpoint_digest"] for record in taken} == digests
    assert {record.details["source"]["file"] for record in taken} == {"one.bin", "two.bin"}
    scores = [r.scores["miou"] for r in Store.open(store).records("linear_probe")]
    assert len(set(scores)) == 2


def test_weights_that_changed_meanwhile_are_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    verb.adopt(verb.Wish(weights=ours(tmp_path / "a.bin"), name="one", store=store))
    request = Request(suite="table1", profile="smoke", only="one", columns="nus-lp", store=store)
    session = open_session(request, write=True)
    ours(read_adopted(store)["one"].checkpoint, seed=9)
    job = next(j for j in session.expansion.jobs.values() if j.stage == "adopt")
    from lima_bench.suites.stages import adopt
    from lima_bench.suites.work import Context

    context = Context(job, tmp_path / "x", tmp_path, {}, {}, lambda *_: None, None, "cpu", 1, 0)
    with pytest.raises(UserError, match="Another checkpoint was adopted under this name"):
        adopt(context)
    assert not (tmp_path / "x").exists()

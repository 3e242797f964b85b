"""What runs and what does not, judged from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

import pytest

from lima_bench.results.record import Record
from lima_bench.suites.chain import Identity
from lima_bench.suites.code import CodeKeys, lineage
from lima_bench.suites.costs import Costs, rough_weight
from lima_bench.suites.expand import Expansion
from lima_bench.suites.job import STAGES
from lima_bench.suites.known import Known
from lima_bench.suites.plan import Plan, make_plan, priorities, within_budget
from lima_bench.suites.schedule import Schedule

CODE = CodeKeys({stage: f"code of {stage}" for stage in STAGES})
ROWS = {"only": "random,slidr,scalr,lima", "columns": "nus-lp,nus-1%,kitti-1%"}


@pytest.fixture
def small(expanded: Callable[..., Expansion], known: Known) -> Expansion:
    return expanded("table1", "embedded", known, **ROWS)


def records_of(
    expansion: Expansion, stages: Iterable[str] = STAGES, code: CodeKeys = CODE, **measured: float
) -> dict[str, Record]:
    codes: dict[str, str] = {}
    for key, job in expansion.jobs.items():
        codes[key] = lineage(code.own(job), {r: codes[k] for r, k in job.inputs.items()})
    return {
        key: Record(
            key=key,
            stage=job.stage,
            version=job.version,
            config=job.config,
            seed=job.seed,
            inputs=job.inputs,
            provenance={"code": codes[key]},
            measured=measured or {"wall_hours": 0.5},
        )
        for key, job in expansion.jobs.items()
        if job.stage in stages
    }


def planned(
    expansion: Expansion,
    records: dict[str, Record] | None = None,
    present: Collection[str] | None = None,
    **options: object,
) -> Plan:
    records = records or {}
    here = set(records) if present is None else present
    return make_plan(expansion, records, CODE, present=here, **options)


def running(plan: Plan) -> dict[str, int]:
    return dict(Counter(step.job.stage for step in plan.todo))


EVERYTHING = {
    "world": 2,
    "features": 1,
    "superpixels": 1,
    "pretrain": 4,
    "linear_probe": 4,
    "finetune": 8,
}


def test_without_records_everything_runs(small: Expansion) -> None:
    assert running(planned(small)) == EVERYTHING


def test_with_every_record_nothing_runs_even_without_artifacts(small: Expansion) -> None:
    plan = planned(small, records_of(small), present=())
    assert plan.todo == []
    assert {plan.cell_state(cell) for cell in small.cells} == {"done"}


def test_only_what_a_missing_score_needs_runs(small: Expansion) -> None:
    records = records_of(small)
    lost = next(cell.jobs[0] for cell in small.cells if cell.row == "slidr")
    del records[lost]
    assert running(planned(small, records)) == {"linear_probe": 1}
    kept = {key for key, job in small.jobs.items() if job.stage == "world"}
    plan = planned(small, records, present=kept)
    assert running(plan) == {"features": 1, "superpixels": 1, "pretrain": 1, "linear_probe": 1}


def test_changed_code_makes_stale_what_it_made_and_all_after_it(small: Expansion) -> None:
    older = CodeKeys({**CODE.stages, "linear_probe": "older"})
    plan = planned(small, records_of(small, code=older))
    assert running(plan) == {"linear_probe": 4}
    assert {plan.cell_state(c) for c in small.cells if c.column == "nus-lp"} == {"stale"}
    older = CodeKeys({**CODE.stages, "features": "older"})
    plan = planned(small, records_of(small, code=older))
    counts = {"features": 1, "pretrain": 3, "linear_probe": 3, "finetune": 6}
    assert running(plan) == counts
    assert planned(small, records_of(small, code=older), accept_stale=True).todo == []


def test_a_changed_plug_in_makes_its_rows_stale(small: Expansion) -> None:
    plugged = CodeKeys(CODE.stages, {"method scalr": "digest of its file"})
    plan = planned(small, records_of(small, code=plugged))
    assert running(plan) == {"pretrain": 1, "linear_probe": 1, "finetune": 2}


def test_prepare_asks_for_stages(small: Expansion) -> None:
    plan = planned(small, targets=("world", "features", "superpixels"))
    assert running(plan) == {"world": 2, "features": 1, "superpixels": 1}


def test_unavailable_cells_never_run(expanded, known: Known) -> None:
    table = expanded("table1", "embedded", known, columns="waymo-1%")
    plan = planned(table)
    assert plan.todo == []
    assert {plan.cell_state(cell) for cell in table.cells} == {"unavailable"}


def test_costs_come_from_the_most_similar_records(small: Expansion, expanded, known: Known) -> None:
    records = records_of(small, wall_hours=2.0, peak_memory_gb=3.0)
    costs = Costs.learn(records.values())
    other_seed = expanded("table1", "embedded", known, seeds=(1,), **ROWS)
    estimates = [s.estimate for s in planned(other_seed, costs=costs).todo]
    assert {(e.wall_hours, e.peak_memory_gb) for e in estimates} == {(2.0, 3.0)}
    assert {e.basis for e in estimates} == {"same settings"}
    twice = expanded("table1", "embedded", known, ("pretrain.length.steps=1800",), **ROWS)
    plan = planned(twice, costs=costs)
    doubled = [s.estimate for s in plan.todo if s.job.stage == "pretrain" and s.job.inputs]
    assert [e.basis for e in doubled] == ["same stage"] * 3
    assert all(e.wall_hours == pytest.approx(doubled[0].wall_hours) for e in doubled)
    assert {s.estimate.basis for s in planned(small).todo} == {"none"}


def test_a_budget_takes_the_cheapest_cells_and_counts_shared_work_once(small: Expansion) -> None:
    costs = Costs.learn(records_of(small, wall_hours=1.0).values())
    plan = planned(small, costs=costs)
    # World, first weights and a score take 3 h, a further column on the same world 1 h, on another
    # world 2 h; then a taught row takes features, pretraining and a score.
    chosen, hours = within_budget(plan, 6.5)
    assert ({cell.row for cell in chosen}, len(chosen), hours) == ({"random"}, 3, 6.0)
    chosen, hours = within_budget(plan, 9.0)
    assert ({cell.row for cell in chosen}, len(chosen), hours) == ({"random", "scalr"}, 4, 9.0)
    everything, hours = within_budget(plan, 100.0)
    assert (len(everything), hours) == (12, 20.0)
    assert within_budget(plan, 0.5) == ([], 0.0)
    assert within_budget(planned(small), 100.0) == ([], 0.0)


def test_longest_chains_go_first(small: Expansion) -> None:
    plan = planned(small)
    rank = priorities(plan)
    for step in plan.todo:
        assert all(rank[key] > rank[step.job.key] for key in step.job.inputs.values())
    taught = {k: s.job.config["method"] for k, s in plan.steps.items() if s.job.stage == "pretrain"}
    assert taught[min(taught, key=rank.__getitem__)] == "random"


def drained(schedule: Schedule, slots: int) -> list[list[str]]:
    """Stages as they start, in rounds of at most `slots` that end together."""
    rounds = []
    while not schedule.over:
        begun: list[str] = []
        while len(begun) < slots and (key := schedule.next()):
            schedule.move(key, "running")
            begun.append(key)
        assert begun
        rounds.append([schedule.jobs[key].stage for key in begun])
        for key in begun:
            schedule.move(key, "done")
    return rounds


def test_a_large_world_runs_alone_and_readers_after_their_inputs(
    known: Known, expanded: Callable[..., Expansion]
) -> None:
    scenes = {"train_scenes": 200, "train_keyframes": 3}
    parts = {name: {"seed": 0, name: {}} for name in known.datasets}
    parts["nuscenes"] = {"seed": 0, "nuscenes": scenes}
    identity = Identity(world=parts, world_version=1)
    plan = planned(expanded("table1", "embedded", known, identity=identity, **ROWS))
    jobs = {step.job.key: step.job for step in plan.todo}
    rounds = drained(Schedule(jobs, priorities(plan)), 2)
    assert rounds[0] == ["world"]
    assert set(rounds[1]) == {"features", "superpixels"}
    assert sum(map(len, rounds)) == len(jobs)
    assert all(len(begun) == 2 for begun in rounds[2:-1])


def test_a_failure_skips_only_what_reads_it(small: Expansion) -> None:
    jobs = dict(small.jobs)
    schedule = Schedule(jobs, {})
    world, features, superpixels = [
        next(key for key, job in jobs.items() if job.stage == stage)
        for stage in ("world", "features", "superpixels")
    ]
    schedule.move(world, "done")
    schedule.move(features, "done")
    lost = schedule.move(superpixels, "failed")
    assert Counter(jobs[key].stage for key in lost) == {
        "pretrain": 1,
        "linear_probe": 1,
        "finetune": 2,
    }
    assert not schedule.over
    assert schedule.having("skipped") == [key for key in jobs if key in lost]


def test_records_of_older_versions_still_give_an_estimate() -> None:
    drive = {"train_scenes": 100, "train_keyframes": 2}
    older = rough_weight("world", {"spec": {"seed": 0, "nuscenes": drive, "semantickitti": {}}})
    spec = {"seed": 0, "nuscenes": drive}
    assert older == rough_weight("world", {"dataset": "nuscenes", "spec": spec}) == 201.0

"""The efficiency table: its cells, what it shares with table 1, what measures a column may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lima_bench.common.errors import UserError
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.results.build import build_table
from lima_bench.results.reference import read_published, references
from lima_bench.results.table import ColumnMeta, Footer, RowMeta
from lima_bench.results.view import printed
from lima_bench.suites.chain import Identity
from lima_bench.suites.expand import Expansion
from lima_bench.suites.known import Known
from lima_bench.suites.load import load
from lima_bench.suites.measured import measure_outcome
from lima_bench.suites.measures import MEASURES, find_measure, shared_inputs, timed_jobs
from lima_bench.suites.plan import make_plan
from lima_bench.suites.schedule import Schedule
from lima_bench.suites.tables import _column_meta, _row_meta
from tests.suites.test_plan import CODE, records_of

TEACHERS = ("resnet50", "vit_s", "vit_b", "vit_l", "tiny", "random_tiny")
DATASETS = ("nuscenes", "semantickitti", "waymo")
FILES = Identity(
    manifests={name: f"files of {name}" for name in DATASETS},
    masks={"openseed_inst17": "masks of Seal's and SuperFlow's images"},
)
PROFILES = ("smoke", "embedded", "paper")


@pytest.fixture
def everything(known_with: Callable[..., Known]) -> Known:
    return known_with(METHODS.names(), TEACHERS, DATASETS)


def expansion_of(suite: str, profile: str, everything: Known, expanded) -> Expansion:
    where = {"identity": FILES} if profile == "paper" else {}
    return expanded(suite, profile, everything, **where)


@pytest.mark.parametrize("profile", PROFILES)
def test_ten_rows_of_five_cells(profile: str, everything: Known, expanded) -> None:
    table = expansion_of("efficiency", profile, everything, expanded)
    assert (len(table.rows), len(table.columns), len(table.cells)) == (10, 5, 50)
    assert not any(cell.missing for cell in table.cells)
    assert [row.frames for row in table.rows] == [1, 2, 3, 4, 5, 6, 7, 8, 2, 3]
    assert {row.teacher for row in table.rows} == {"vit_b" if profile == "paper" else "tiny"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("row", ["lima-6", "scalr-1", "seal-2", "superflow-3"])
def test_rows_of_table_1_are_never_run_twice(
    row: str, profile: str, everything: Known, expanded
) -> None:
    ending = "-vit_b" if profile == "paper" else ""
    mine = expansion_of("efficiency", profile, everything, expanded)
    theirs = expansion_of("table1", profile, everything, expanded)
    cells = {(cell.row, cell.column): dict(cell.jobs) for cell in theirs.cells}
    own = {cell.column: dict(cell.jobs) for cell in mine.cells if cell.row == row + ending}
    name = row.partition("-")[0] + ending
    for column in ("nus-lp", "nus-1%", "kitti-1%"):
        assert own[column] == cells[name, column], column
    (taught,) = [dict(r.pretrain) for r in theirs.rows if r.row.id == name]
    assert own["hours"] == own["memory"] == taught


def test_what_is_not_built_is_a_hole_with_its_reason(known: Known, expanded) -> None:
    table = expanded("efficiency", "embedded", known)
    missing = {cell.row: cell.missing for cell in table.cells if cell.missing}
    assert missing == {
        "seal-2": "not built yet: method seal",
        "superflow-3": "not built yet: method superflow",
    }


def test_every_published_number_has_its_cell(everything: Known, expanded) -> None:
    table = expansion_of("efficiency", "paper", everything, expanded)
    session = SimpleNamespace(known=everything, loaded=table.loaded, expansion=table)
    rows = [_row_meta(session, row) for row in table.rows]
    columns = [_column_meta(session, column) for column in table.columns]
    found = references(read_published("efficiency"), rows, columns)
    assert len(found) == 50
    assert found["lima-6-vit_b", "hours"].value == 17.9
    assert found["superflow-3-vit_b", "memory"].value == 23.65
    assert found["scalr-1-vit_b", "kitti-1%"].value == 47.77
    assert columns[0].unit == "auto" and printed(columns[0], 17.9) == "17.90"


def test_time_is_asked_of_pretraining_and_the_caches_that_it_reads(
    everything: Known, expanded
) -> None:
    table = expanded("efficiency", "embedded", everything)
    timed = {table.jobs[key].stage for key in timed_jobs(table)}
    assert "pretrain" in timed and "features" in timed
    assert not timed & {"world", "linear_probe", "finetune"}
    taught = {key for row in table.rows for key in row.pretrain.values()}
    assert taught < timed_jobs(table)
    for key in taught:
        shared = shared_inputs(table.jobs, key)
        assert len(set(shared)) == len(shared)
        assert {"world", "pretrain"}.isdisjoint(table.jobs[k].stage for k in shared)
    memory = replace(table, columns=tuple(c for c in table.columns if c.id != "hours"))
    assert timed_jobs(memory) == frozenset()
    assert timed_jobs(expanded("table1", "embedded", everything)) == frozenset()


def test_nothing_runs_beside_a_job_whose_time_counts(known: Known, expanded) -> None:
    table = expanded("efficiency", "embedded", known, only="scalr-1,lima-6")
    plan = make_plan(table, {}, CODE, present=())
    schedule = Schedule({s.job.key: s.job for s in plan.todo}, {}, plan.timed)
    beside = set()
    while not schedule.over:
        started = []
        while len(started) < 3 and (key := schedule.next()):
            schedule.move(key, "running")
            started.append(key)
        stages = [schedule.jobs[key].stage for key in started]
        assert len(started) == 1 or not plan.timed.intersection(started)
        beside.update(stages if len(started) > 1 else ())
        for key in started:
            schedule.move(key, "done")
    assert beside == {"world", "linear_probe", "finetune"}


def planned(table: Expansion, alone: object, **options):
    records = records_of(table, wall_hours=0.5, alone=alone)
    return make_plan(table, records, CODE, present=set(records), **options)


def test_what_ran_beside_others_is_done_again_and_nothing_else(known: Known, expanded) -> None:
    table = expanded("efficiency", "embedded", known, only="scalr-1,lima-6")
    assert planned(table, True).todo == []
    again = planned(table, False)
    assert {step.job.key for step in again.todo} == again.timed
    assert all(step.again and step.state == "done" for step in again.todo)
    assert sorted(step.job.stage for step in again.todo) == ["features", "pretrain", "pretrain"]
    assert planned(table, None).todo == again.todo  # a version that kept no note
    only = planned(table, False, targets=("features",))
    assert [step.job.stage for step in only.todo] == ["features"]


def test_a_repeat_needs_what_the_job_reads(known: Known, expanded) -> None:
    table = expanded("efficiency", "embedded", known, only="scalr-1")
    records = records_of(table, wall_hours=0.5, alone=False)
    worlds = {key for key, job in table.jobs.items() if job.stage == "world"}
    plan = make_plan(table, records, CODE, present=records.keys() - worlds)
    ran = {step.job.stage for step in plan.todo if not step.again}
    assert ran == {"world"}


def test_a_stale_record_runs_whole_or_stays_if_it_is_accepted(known: Known, expanded) -> None:
    table = expanded("efficiency", "embedded", known, only="scalr-1", columns="hours")
    records = records_of(table, wall_hours=0.5, alone=False)
    old = {k: replace(r, provenance={"code": "old"}) for k, r in records.items()}
    stale = make_plan(table, old, CODE, present=set(old))
    assert stale.todo and not any(step.again for step in stale.todo)
    assert make_plan(table, old, CODE, present=set(old), accept_stale=True).todo == []


def test_one_pretraining_for_all_seeds_is_one_number(everything: Known, expanded) -> None:
    table = expanded(
        "efficiency", "paper", everything, identity=FILES, only="lima-6*", columns="hours,memory"
    )
    records = records_of(table, wall_hours=2.0, peak_memory_gb=29.0, alone=True)
    plan = make_plan(table, records, CODE, present=set(records))
    hours, memory = [measure_outcome(plan, cell, column) for cell, column in zip(
        table.cells, table.columns, strict=True
    )]  # fmt: skip
    assert hours is not None and memory is not None
    assert hours.values == dict.fromkeys((0, 1, 2), 4.0)  # its own and that of the features
    assert memory.values == dict.fromkeys((0, 1, 2), 29.0)
    assert not hours.distinct
    built = build_table(
        title="", suite="", profile="", rows=[RowMeta(id="r", title="")],
        columns=[ColumnMeta(id="c", title="")], outcomes={("r", "c"): hours},
        footer=Footer(version=""), seeds=(0, 1, 2),
    )  # fmt: skip
    cell = built.cells["r", "c"]
    assert (cell.mean, cell.std, cell.n, cell.flags) == (4.0, None, 1, ())


def complaint(columns: str, known: Known, write_suite) -> str:
    text = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        f"rows:\n  - {{id: a, method: scalr}}\ncolumns:\n  - {columns}\n"
    )
    with pytest.raises(UserError) as caught:
        load(write_suite(text), "embedded", known)
    return str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("{id: h, measure: pretrain.wall_hour}", 'Did you mean "pretrain.wall_hours"?'),
        ("{id: h, measure: wall_hours}", 'Did you mean "pretrain.wall_hours"?'),
        ("{id: h, measure: finetune.wall_hours}", "pretrain.peak_memory_gb"),
        ("{id: h, measure: pretrain.scores.}", "pretrain.scores.NAME"),
        ("{id: h, measure: 3}", "mine.yaml:8"),
        ("{id: h, measure: pretrain.wall_hours, unit: GB}", "Known: auto, h, min, s"),
        ("{id: h, measure: pretrain.scores.steps, unit: h}", "Known: auto"),
        ("{id: h, measure: pretrain.wall_hours, unit: days}", "unit"),
        ("{id: h, task: finetune, on: nuscenes, unit: h}", "Only a measure has a unit"),
        ("{id: h, measure: pretrain.wall_hours, task: finetune}", "not for both"),
    ],
)
def test_faults_of_a_measure(column: str, expected: str, known: Known, write_suite) -> None:
    said = complaint(column, known, write_suite)
    assert expected in said
    assert "mine.yaml:8:" in said


def test_an_unknown_measure_lists_all(known: Known, write_suite) -> None:
    said = complaint("{id: h, measure: pretrain.time}", known, write_suite)
    for name in MEASURES:
        assert f"pretrain.{name}" in said


def test_a_number_of_the_method_is_no_measure() -> None:
    assert find_measure("pretrain.scores.final_loss") is None
    assert find_measure("pretrain.cpu_hours") is MEASURES["cpu_hours"]


def test_what_is_not_taught_has_no_cost(known: Known, write_suite, expanded) -> None:
    text = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        "rows:\n  - {id: a, method: random}\n"
        "columns:\n  - {id: hours, measure: pretrain.wall_hours}\n"
    )
    (cell,) = expanded(write_suite(text), "embedded", known).cells
    assert cell.missing == "nothing is taught: no cost"

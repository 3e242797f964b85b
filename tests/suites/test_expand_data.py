"""Which data sets rows and columns read: absent ones, several at once, variants, without images."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from lima_bench.common.errors import UserError
from lima_bench.lima.recipes import Settings
from lima_bench.suites.chain import Identity
from lima_bench.suites.known import Known
from lima_bench.suites.load import load


def test_data_that_is_not_there_is_missing_with_its_reason(known: Known, expanded) -> None:
    only = Identity(manifests={"nuscenes": "files"})
    table = expanded("table1", "embedded", known, identity=only)
    reasons = {cell.column: cell.missing for cell in table.cells if cell.row == "lima"}
    assert reasons["kitti-1%"] == "no data: semantickitti does not lie below the data root"
    assert reasons["nus-lp"] == ""


def test_measured_columns_read_the_pretraining(known: Known, write_suite, expanded) -> None:
    text = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        'rows:\n  - matrix: {frames: [2, 4, 6]}\n    id: "lima-{frames}"\n    method: lima\n'
        "columns:\n  - {id: hours, measure: pretrain.wall_hours, better: lower}\n"
    )
    table = expanded(write_suite(text), "embedded", known)
    assert [set(cell.jobs) for cell in table.cells] == [{0}] * 3
    assert all(a.jobs != b.jobs for a, b in pairwise(table.cells))
    assert {table.jobs[cell.jobs[0]].stage for cell in table.cells} == {"pretrain"}


def test_a_six_frame_row_is_the_row_of_the_table(known: Known, write_suite, expanded) -> None:
    """A suite over frames must not repeat what table1 has."""
    text = (
        "schema: 1\nname: frames\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        'rows:\n  - matrix: {frames: [4, 6]}\n    id: "lima-{frames}"\n    method: lima\n'
        "columns:\n  - {id: lp, task: linear_probe, on: nuscenes}\n"
    )
    mine = expanded(write_suite(text), "embedded", known)
    theirs = expanded("table1", "embedded", known)
    in_table = next(c for c in theirs.cells if (c.row, c.column) == ("lima", "nus-lp"))
    assert mine.cells[1].jobs == in_table.jobs != mine.cells[0].jobs


def test_several_data_sets_teach_one_student(known: Known, write_suite, expanded) -> None:
    text = (
        "schema: 1\nname: mine\ntitle: x\n"
        "rows:\n  - {id: one, method: scalr, pretrain_on: nuscenes}\n"
        "  - {id: both, method: scalr, pretrain_on: [nuscenes, semantickitti]}\n"
        "columns:\n  - {id: c, task: finetune, on: nuscenes}\n"
    )
    table = expanded(write_suite(text), "embedded", known)
    one, both = (table.jobs[row.pretrain[0]] for row in table.rows)
    assert one.datasets == ("nuscenes",) and both.datasets == ("nuscenes", "semantickitti")
    assert {role for role in both.inputs if role.startswith("world")} == {
        "world nuscenes",
        "world semantickitti",
    }
    assert both.title == "pretrain scalr nuscenes+semantickitti seed 0"
    assert table.jobs[both.inputs["features"]].datasets == both.datasets


def test_every_data_set_of_a_list_is_looked_up(known: Known, write_suite) -> None:
    text = (
        "schema: 1\nname: mine\ntitle: x\n"
        "rows:\n  - {id: one, method: scalr, pretrain_on: [nuscenes, semantikitti]}\n"
        "columns:\n  - {id: c, task: finetune, on: nuscenes}\n"
    )
    with pytest.raises(UserError, match=r'pretrain_on\[1\][\s\S]*Did you mean "semantickitti"'):
        load(write_suite(text), "embedded", known)


def test_a_variant_of_a_card_is_another_column(known: Known, write_suite, expanded) -> None:
    facts = known.datasets["semantickitti"]
    variant = replace(facts, title="SemanticKITTI (test)", roles={"val": "test"})
    known = replace(known, datasets={**known.datasets, "semantickitti:test": variant})
    text = (
        "schema: 1\nname: mine\ntitle: x\nrows:\n  - {id: r, method: random}\n"
        "columns:\n  - {id: a, task: finetune, on: semantickitti}\n"
        '  - {id: b, task: finetune, on: "semantickitti:test"}\n'
    )
    table = expanded(write_suite(text), "embedded", known)
    (plain,), (other,) = (cell.jobs.values() for cell in table.cells)
    assert plain != other
    ours, theirs = table.jobs[plain], table.jobs[other]
    assert ours.inputs["world semantickitti"] == theirs.inputs["world semantickitti"]
    assert theirs.config["data"]["splits"] == {"train": "train", "val": "test"}
    assert theirs.config["data"]["dataset"] == "semantickitti:test"


def test_nothing_is_distilled_without_images(known: Known, write_suite, expanded) -> None:
    blind = replace(known.datasets["semantickitti"], pictured=False)
    known = replace(known, datasets={**known.datasets, "semantickitti": blind})
    text = (
        "schema: 1\nname: mine\ntitle: x\n"
        "rows:\n  - {id: r, method: scalr, pretrain_on: [nuscenes, semantickitti]}\n"
        "columns:\n  - {id: a, task: finetune, on: semantickitti}\n"
    )
    (cell,) = expanded(write_suite(text), "embedded", known).cells
    assert cell.missing == "no images: semantickitti has no cameras"


@pytest.mark.parametrize(("sweeps", "missing"), [(2, True), (0, False)])
def test_nothing_is_densified_without_sweeps(
    known: Known, write_suite, expanded, sweeps: int, missing: bool
) -> None:
    class Dense(Settings):
        sweeps: int = 2

    card = known.methods["scalr"].model_copy(
        update={"needs": ("features", "sweeps"), "settings": Dense}
    )
    still = replace(known.datasets["semantickitti"], swept=False)
    known = replace(
        known,
        methods={**known.methods, "scalr": card},
        datasets={**known.datasets, "semantickitti": still},
    )
    text = (
        "schema: 1\nname: mine\ntitle: x\n"
        f"rows:\n  - {{id: r, method: scalr, settings: {{sweeps: {sweeps}}}, "
        "pretrain_on: semantickitti}\n"
        "columns:\n  - {id: a, task: finetune, on: nuscenes}\n"
    )
    (cell,) = expanded(write_suite(text), "embedded", known).cells
    reason = "no sweeps: no scans before a frame can be read of semantickitti"
    assert cell.missing == (reason if missing else "")

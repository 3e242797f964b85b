"""A plan and its records as the table that people read.

Offers `table_of`. What each cell, verdict and note means is decided in `lima_bench.results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.downstream.detection.catalogue import DETECTORS
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.segmenters.catalogue import SEGMENTERS
from lima_bench.results.build import CellId, Outcome, Reference, Rules, build_table
from lima_bench.results.golden_files import read_golden
from lima_bench.results.orderings import check_orderings, read_claims
from lima_bench.results.record import Record
from lima_bench.results.reference import read_published, references
from lima_bench.results.splits import build_splits, split_title
from lima_bench.results.table import ColumnMeta, Footer, RowMeta, Table
from lima_bench.results.verdict import State
from lima_bench.suites.expand import CellPlan, TaughtRow
from lima_bench.suites.measured import cost_notes, measure_column, measure_outcome, row_costs
from lima_bench.suites.plan import Plan
from lima_bench.suites.schema import Column
from lima_bench.suites.session import Session

Against = Literal["paper", "golden", ""]

_DETECTION = {"map": "mAP", "nds": "NDS"}
"""Scores that stand beside each other under one label share, as printed."""


def table_of(session: Session, plan: Plan, against: Against | None = None) -> Table:
    """The table of everything that the store knows.

    Args:
        session: What was asked for.
        plan: How things stand.
        against: What to compare with; None: what the profile says.

    Raises:
        UserError: There are no such numbers to compare with.
    """
    loaded, expansion = session.loaded, session.expansion
    rows = [_row_meta(session, row) for row in expansion.rows]
    columns = [_column_meta(session, column) for column in expansion.columns]
    outcomes = {(c.row, c.column): _outcome(session, plan, c) for c in expansion.cells}
    chosen = loaded.profile.reference if against is None else against
    style, check = loaded.suite.table, loaded.suite.check
    footer = _footer(session, plan)
    table = build_table(
        title=loaded.suite.title,
        suite=loaded.suite.name,
        profile=loaded.profile.name,
        rows=rows,
        columns=columns,
        outcomes=outcomes,
        footer=footer,
        seeds=expansion.seeds,
        references=_references(session, chosen, rows, columns),
        against=chosen,
        rules=Rules(tolerance=check.tolerance, spread=check.spread, bold=style.bold),
        notes=(*_stand_ins(session), *cost_notes(plan, expansion.columns)),
    )
    orderings = check_orderings(table, read_claims()) if loaded.suite.paper else ()
    return replace(
        table,
        orderings=orderings,
        costs=row_costs(plan, expansion.rows),
        splits=_splits(session, plan, rows, footer),
    )


def _row_meta(session: Session, taught: TaughtRow) -> RowMeta:
    card = session.known.card_of(taught.row)
    teacher = session.known.teachers.get(taught.teacher)
    group_by = session.loaded.suite.table.group_rows
    group = {
        "teacher": teacher.title if teacher else "",
        "method": card.title,
        "detector": _detector_title(taught),
        "none": "",
    }[group_by]
    if taught.guest and group_by not in ("none", "detector"):
        group = "Adopted"
    return RowMeta(
        id=taught.row.id,
        title=taught.title,
        method=card.name,
        teacher=taught.teacher,
        student=taught.student,
        frames=taught.frames,
        group=group,
        venue=card.venue,
        reconstruction=card.reconstruction,
        control=bool(teacher and teacher.supervision.startswith("none")),
        adopted=taught.adopted,
        guest=taught.guest,
    )


def _detector_title(taught: TaughtRow) -> str:
    """``VoxelNet + CenterPoint``; a network that is planned only has but its id."""
    backbone, _, detector = taught.student.partition("+")
    if not detector:
        return ""
    title = BACKBONES.get(backbone).title if backbone in BACKBONES.names() else backbone
    return f"{title} + {DETECTORS.get(detector).title}"


def _stand_ins(session: Session) -> list[str]:
    """What stands in for published masks, and in which rows."""
    rows: dict[str, list[str]] = {}
    jobs = session.expansion.jobs
    for taught in session.expansion.rows:
        reads = {key for k in taught.pretrain.values() for key in jobs[k].inputs.values()}
        for name in {str(jobs[key].config.get("segmenter", "")) for key in reads}:
            if name in SEGMENTERS and (what := SEGMENTERS.get(name).stand_in):
                rows.setdefault(what, []).append(taught.title)
    return [
        f"segments: stand-in ({what}): {', '.join(dict.fromkeys(titles))}"
        for what, titles in sorted(rows.items())
    ]


def _column_meta(session: Session, column: Column) -> ColumnMeta:
    suite = session.loaded.suite
    if column.measure is not None:
        return measure_column(column, score_decimals=suite.table.decimals)
    asked = str(column.corrupted or column.on)
    facts = session.known.datasets[asked]
    title = facts.title
    setting = "LP" if column.task == "linear_probe" else column.labels.partition("@")[0]
    groups = {"on": title, "task": str(column.task), "labels": setting, "none": ""}
    return ColumnMeta(
        id=column.id,
        title=column.title or _DETECTION.get(column.metric, setting),
        dataset=asked,
        setting=setting,
        metric=column.metric,
        group=groups[suite.table.group_columns],
        assumed=_is_assumed(session, column),
        protocol="assumed" if facts.protocol == "assumed" else "",
        decimals=suite.table.decimals if column.decimals is None else column.decimals,
        better=column.better,
    )


def _is_assumed(session: Session, column: Column) -> bool:
    """Whether the task's recipe holds values that no source states."""
    profile = session.loaded.profile
    used = profile.recipes[session.loaded.suite.defaults.recipes or profile.default_recipes]
    kinds = DETECTORS.names() if column.task == "detect" else (str(column.task),)
    recipes = [session.loaded.recipes.get(getattr(used, kind) or "") for kind in kinds]
    return any(recipe.assumed for recipe in recipes if recipe)


def _outcome(session: Session, plan: Plan, cell: CellPlan) -> Outcome:
    state = plan.cell_state(cell)
    if state == "unavailable":
        return Outcome(state=State.UNAVAILABLE, reason=cell.missing)
    (column,) = (column for column in session.expansion.columns if column.id == cell.column)
    if column.measure is not None and (outcome := measure_outcome(plan, cell, column)):
        return outcome
    found = {seed: plan.records[k] for seed, k in cell.jobs.items() if k in plan.records}
    values = {seed: _value(record, column) for seed, record in found.items()}
    if not values:
        failure = _failure(session, plan, cell)
        if failure:
            return Outcome(state=State.FAILED, reason=failure)
        return Outcome(state=State.MISSING, reason="not run yet")
    stale = any(plan.steps[cell.jobs[seed]].state == "stale" for seed in found)
    return Outcome(
        values=values,
        state=State.STALE if stale else State.DONE,
        reason="the code changed since" if stale else "",
        environment=", ".join(sorted({_environment(record) for record in found.values()})),
    )


def _value(record: Record, column: Column) -> float:
    """The number that a column shows of a record.

    Raises:
        UserError: The record has no such number.
    """
    if column.metric not in record.scores:
        raise unknown_name(f"column {column.id}", "score", column.metric, record.scores)
    return float(record.scores[column.metric])


def _failure(session: Session, plan: Plan, cell: CellPlan) -> str:
    """Why a cell has no number although it was tried: its own failure or that of an input."""
    for key, job in session.expansion.upstream(cell.jobs.values()).items():
        if plan.steps[key].state == "missing" and (reason := session.store.failure(key)):
            return f"{job.title} failed: {reason}"
    return ""


def _environment(record: Record) -> str:
    made = record.provenance
    parts = (made.get("device"), made.get("precision"), made.get("engine"), made.get("machine"))
    return " ".join(str(part) for part in parts if part)


def _references(
    session: Session, against: Against, rows: list[RowMeta], columns: list[ColumnMeta]
) -> Mapping[CellId, Reference]:
    suite, profile = session.loaded.suite, session.loaded.profile
    if against == "golden":
        return read_golden(suite.name, profile.name)
    if against != "paper":
        return {}
    if profile.data.world is not None:
        what = "Published numbers were measured on real recordings; this profile renders its own."
        raise UserError("--against paper", what, "Add --profile paper, or compare with golden.")
    if suite.paper is None:
        raise UserError(
            "--against paper",
            f"The suite {suite.name} regenerates no published table.",
            "Give it a paper: entry, or compare with golden.",
        )
    published = read_published(suite.paper.table, suite.paper.key)
    return references(published, rows, columns)


def _splits(session: Session, plan: Plan, rows: list[RowMeta], footer: Footer) -> Table | None:
    """The first linear-probing column on parts of the points, and what LiMA gains over ScaLR."""
    columns = [c for c in session.expansion.columns if c.task == "linear_probe"]
    if not columns:
        return None
    column, outcomes = columns[0], {}
    for cell in (c for c in session.expansion.cells if c.column == column.id):
        records = {seed: plan.records[k] for seed, k in cell.jobs.items() if k in plan.records}
        whole = _outcome(session, plan, cell)
        names = {name for record in records.values() for name in record.scores}
        for name in sorted(n for n in names if split_title(n)[0]):
            values = {s: r.scores[name] for s, r in records.items() if name in r.scores}
            outcomes[cell.row, name] = replace(whole, values=values)
    pairs = [
        (ours.id, theirs.id)
        for ours in rows
        for theirs in rows
        if (ours.method, theirs.method) == ("lima", "scalr") and ours.teacher == theirs.teacher
    ]
    return build_splits(
        rows=rows,
        outcomes=outcomes,
        dataset=str(column.on),
        setting="LP",
        suite=session.loaded.suite.name,
        profile=session.loaded.profile.name,
        footer=footer,
        seeds=session.expansion.seeds,
        differences=pairs,
    )


def _footer(session: Session, plan: Plan) -> Footer:
    try:
        number = version("lima-bench")
    except PackageNotFoundError:
        number = "(not installed)"
    scored = {key for cell in session.expansion.cells for key in cell.jobs.values()}
    records = [record for key, record in plan.records.items() if key in scored]
    newest = max(records, key=lambda r: str(r.measured.get("started", "")), default=None)
    made = newest.provenance if newest else {}
    began = str(newest.measured.get("started", "")) if newest else datetime.now(UTC).isoformat()
    return Footer(
        version=number,
        commit=str(made.get("commit", "")),
        dirty=bool(made.get("dirty", False)),
        date=began[:10],
        seeds=session.expansion.seeds,
        embedded=session.loaded.profile.data.world is not None,
    )

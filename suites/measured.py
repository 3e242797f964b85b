"""Measures of pretraining as a table shows them: columns, cells, costs, warnings. Pure.

Offers `measure_column`, `measure_outcome`, `row_costs` and `cost_notes`; for `suites.tables`.

A time that was measured beside other work is shown, marked ``disturbed``, and judged by nothing;
the next run repeats the job alone (`lima_bench.suites.work`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from lima_bench.results.build import Outcome
from lima_bench.results.record import Record
from lima_bench.results.table import ColumnMeta, Costs
from lima_bench.results.verdict import State
from lima_bench.suites.expand import CellPlan, TaughtRow
from lima_bench.suites.measures import (
    MEASURES,
    SCORES,
    STAGE,
    beside_others,
    find_measure,
    shared_inputs,
    value_of,
)
from lima_bench.suites.plan import Plan
from lima_bench.suites.schema import Column

_WAITED = 0.05
"""A job that was kept from a core for more than this part of its time was not undisturbed."""


def measure_column(column: Column, *, score_decimals: int) -> ColumnMeta:
    """The head of a column of measures.

    Args:
        column: As the suite writes it.
        score_decimals: Of the table, for numbers that the method returned.
    """
    name = str(column.measure).removeprefix(f"{STAGE}.")
    measure = find_measure(str(column.measure))
    decimals = column.decimals
    if measure is None and decimals is None:
        decimals = score_decimals
    return ColumnMeta(
        id=column.id,
        title=column.title or column.id,
        metric=name.removeprefix(SCORES),
        decimals=decimals,
        group="Pretraining",
        better=column.better,
        quantity=measure.quantity if measure else "",
        unit=column.unit if measure else "",
    )


def measure_outcome(plan: Plan, cell: CellPlan, column: Column) -> Outcome | None:
    """What records say of a cell; None where no seed has a record yet.

    The state of code (stale) goes before that of the measurement (disturbed).
    """
    jobs = {seed: key for seed, key in cell.jobs.items() if key in plan.records}
    if not jobs:
        return None
    values = {seed: _value(plan, key, column) for seed, key in jobs.items()}
    numbers = {seed: value for seed, value in values.items() if value is not None}
    if not numbers:
        return Outcome(state=State.MISSING, reason=f"no record holds {column.measure}")
    used = {key for seed in numbers for key in _read(plan, jobs[seed], column)}
    records = [plan.records[key] for key in used]
    state, reason = State.DONE, ""
    if any(plan.steps[key].state == "stale" for key in used):
        state, reason = State.STALE, "the code changed since"
    elif reason := _disturbance(plan, used, column):
        state = State.DISTURBED
    classes = sorted({_class(record) for record in records})
    return Outcome(
        values=numbers,
        state=state,
        reason=reason,
        environment="; ".join(classes),
        distinct=len({jobs[seed] for seed in numbers}) > 1,
    )


def row_costs(plan: Plan, rows: Sequence[TaughtRow]) -> dict[str, Costs]:
    """Row id to what its pretraining took, by the records there are; no entry without any.

    Of rows that differ in what is asked of one pretraining, such as detectors, the first has it.
    """
    found = {}
    for row in _each_pretraining(rows):
        keys = [key for key in dict.fromkeys(row.pretrain.values()) if key in plan.records]
        taught = [key for key in keys if plan.records[key].inputs]
        if taught:
            found[row.row.id] = Costs(
                wall_hours=_mean(plan, taught, "wall_hours"),
                cpu_hours=_mean(plan, taught, "cpu_hours"),
                shared_wall_hours=_mean(plan, taught, "shared_wall_hours"),
                cpu_seconds_per_sample=_mean(plan, taught, "cpu_seconds_per_sample"),
                peak_memory_gb=max(_numbers(plan, taught, "peak_memory_gb"), default=None),
            )
    return found


def _each_pretraining(rows: Sequence[TaughtRow]) -> list[TaughtRow]:
    """The first row of every pretraining."""
    first: dict[tuple[str, ...], TaughtRow] = {}
    for row in rows:
        first.setdefault(tuple(row.pretrain.values()), row)
    return list(first.values())


def cost_notes(plan: Plan, columns: Sequence[Column]) -> Iterator[str]:
    """What a reader of costs has to know: what is counted, what was disturbed or interrupted."""
    asked = {column.id: column for column in columns if column.measure is not None}
    for column in asked.values():
        measure = find_measure(str(column.measure))
        if measure is not None:
            yield f"{column.title or column.id}: {measure.title}."
    timed = {key: plan.records[key] for key in sorted(plan.timed) if key in plan.records}
    yield from _waits(timed)
    if broken := [_name(record) for record in timed.values() if _attempts(record) > 1]:
        yield f"Interrupted and taken up again, all attempts counted: {', '.join(broken)}."
    if not asked and (costs := _costs_beside(plan)):
        yield f"Costs of {costs} were measured beside other work: they compare only roughly."


def _value(plan: Plan, key: str, column: Column) -> float | None:
    own, measure = plan.records[key], find_measure(str(column.measure))
    if measure is None:
        name = str(column.measure).removeprefix(f"{STAGE}.{SCORES}")
        return own.scores.get(name)
    shared = shared_inputs(plan.expansion.jobs, key) if measure.shared != "none" else []
    if any(source not in plan.records for source in shared):
        return None
    return value_of(measure, own, [plan.records[source] for source in shared])


def _read(plan: Plan, key: str, column: Column) -> list[str]:
    """The jobs whose records the number of a pretraining is made of."""
    measure = find_measure(str(column.measure))
    if measure is None or measure.shared == "none":
        return [key]
    return [key, *shared_inputs(plan.expansion.jobs, key)]


def _disturbance(plan: Plan, keys: set[str], column: Column) -> str:
    """Why a number is no fair measure; empty if it is one."""
    measure = find_measure(str(column.measure))
    if measure is None:
        return ""
    if measure.timed and (others := beside_others(plan.records, sorted(keys))):
        stages = ", ".join(sorted({plan.records[key].stage for key in others}))
        return f"{stages} ran beside other work"
    if measure.field in ("peak_memory_gb", "peak_resident_gb") and any(
        plan.records[key].measured.get("peak_is_bound") for key in keys
    ):
        return "an upper bound: its process had done other jobs before"
    return ""


def _waits(timed: dict[str, Record]) -> Iterator[str]:
    """Jobs that other programs kept from a core, which no schedule of ours can prevent."""
    waited = {
        _name(record): part
        for record in timed.values()
        if (part := _number(record, "waited_hours") / (_number(record, "wall_hours") or 1.0))
        > _WAITED
    }
    if waited:
        said = ", ".join(f"{name} ({part:.0%} of its time)" for name, part in waited.items())
        yield f"Other programs held the cores while these were measured: {said}."


def _costs_beside(plan: Plan) -> str:
    rows = _each_pretraining(plan.expansion.rows)
    keys = {row.row.id: list(row.pretrain.values()) for row in rows}
    taught = {name for name, mine in keys.items() if any(k in plan.records for k in mine)}
    beside = [
        row.title
        for row in rows
        if row.row.id in taught
        and any(plan.records[k].inputs for k in beside_others(plan.records, keys[row.row.id]))
    ]
    return "" if not beside else "all rows" if len(beside) == len(taught) else ", ".join(beside)


def _mean(plan: Plan, keys: Sequence[str], name: str) -> float | None:
    numbers = _numbers(plan, keys, name)
    return fmean(numbers) if numbers else None


def _numbers(plan: Plan, keys: Sequence[str], name: str) -> list[float]:
    column = Column(id=name, measure=f"{STAGE}.{name}")
    assert name in MEASURES
    return [value for key in keys if (value := _value(plan, key, column)) is not None]


def _class(record: Record) -> str:
    return str(record.measured.get("machine_class", "a machine that was not noted"))


def _name(record: Record) -> str:
    method = record.config.get("method")
    frames = record.config.get("settings", {}).get("frames")
    seed = "" if record.seed is None else f"seed {record.seed}"
    words = (record.stage, method, f"{frames} frames" if frames else "", seed)
    return " ".join(str(word) for word in words if word)


def _attempts(record: Record) -> int:
    return int(record.measured.get("attempts", 1))


def _number(record: Record, name: str) -> float:
    return float(record.measured.get(name, 0.0))

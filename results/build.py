"""Makes a table from plain numbers: spread, verdicts, flags, and which cell is best. Pure.

Offers `Outcome` (what is known of a cell), `Reference`, `Rules`, `build_table` and `with_average`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lima_bench.results.stats import Spread, apart, summarise
from lima_bench.results.table import Cell, ColumnMeta, Flag, Footer, RowMeta, Table
from lima_bench.results.units import fitted
from lima_bench.results.verdict import State, Verdict, judge

CellId = tuple[str, str]
"""``(row id, column id)``."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known of a cell, before anything is computed.

    Attributes:
        values: Seed to score, in the unit of the table (percent, not a fraction).
        state: How far the cell has come.
        reason: One sentence for holes and for what is stale, limited or failed.
        environment: Where the numbers were made (device, precision, engine); a column that mixes
            several gets a warning.
        distinct: False where one number serves every seed, such as the cost of a pretraining that
            all seeds share: it has no spread.
    """

    values: Mapping[int, float] = field(default_factory=dict)
    state: State = State.DONE
    reason: str = ""
    environment: str = ""
    distinct: bool = True


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A number to compare with.

    Attributes:
        value: In the unit of the table.
        std: Spread that its source states, if any.
        tolerance: How far ours may be, if the source says so; else the suite's.
        source: Who states it.
        note: What its source adds.
    """

    value: float
    std: float | None = None
    tolerance: float | None = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the suite wants cells compared and marked.

    Attributes:
        tolerance: A number is reproduced within max(tolerance, spread x std).
        spread: In standard deviations.
        bold: Mark the best of a column, of a column within a group of rows, or nothing.
    """

    tolerance: float = 0.5
    spread: float = 2.0
    bold: Literal["best", "best-in-group", "none"] = "best"


NOT_RUN = Outcome(state=State.MISSING, reason="not run yet")


def build_table(
    *,
    title: str,
    suite: str,
    profile: str,
    rows: Sequence[RowMeta],
    columns: Sequence[ColumnMeta],
    outcomes: Mapping[CellId, Outcome],
    footer: Footer,
    seeds: Sequence[int] = (),
    references: Mapping[CellId, Reference] | None = None,
    against: str = "",
    rules: Rules | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """The table of these outcomes; costs, orderings and splits are added by `dataclasses.replace`.

    Args:
        title: One sentence.
        suite: Its name.
        profile: The sizes it was run at.
        rows: In the order to print.
        columns: In the order to print.
        outcomes: Per cell; a cell that is not named has not been run.
        footer: Where the numbers come from.
        seeds: That each cell should have; fewer make it ``partial``. Empty: any number will do.
        references: Per cell, where there is one.
        against: What the references are: ``paper``, ``golden`` or empty.
        rules: Of the suite.
        notes: Warnings; columns that mix environments add theirs.
    """
    columns = [_fitted(column, outcomes, references or {}) for column in columns]
    cells = _cells(rows, columns, outcomes, tuple(seeds), references or {}, rules or Rules())
    return Table(
        title=title,
        suite=suite,
        profile=profile,
        rows=tuple(rows),
        columns=tuple(columns),
        cells=cells,
        footer=footer,
        against=against,
        notes=(*notes, *_mixtures(columns, outcomes)),
    )


def _fitted(
    column: ColumnMeta, outcomes: Mapping[CellId, Outcome], references: Mapping[CellId, Reference]
) -> ColumnMeta:
    """The column in the unit that suits all that it will show."""
    ours = [v for (_, c), o in outcomes.items() if c == column.id for v in o.values.values()]
    theirs = [r.value for (_, c), r in references.items() if c == column.id]
    return fitted(column, [*ours, *theirs])


def with_average(
    table: Table, *, title: str = "Average", over: Sequence[str] = (), rules: Rules | None = None
) -> Table:
    """The table with one more column: each row's mean over the columns `over` (all by default).

    A row with a hole among them has no average, and seeds are averaged one by one, so that the
    spread is that of the average.

    Raises:
        ValueError: The columns are not scores of one metric.
    """
    chosen = [column for column in table.columns if not over or column.id in over]
    if len({(column.metric, column.better) for column in chosen}) != 1:
        raise ValueError("an average needs columns of one metric")
    average = ColumnMeta(
        id="average", title=title, metric=chosen[0].metric, better=chosen[0].better
    )
    outcomes = {(row.id, "average"): _average(table, row, chosen) for row in table.rows}
    extra = _cells(table.rows, [average], outcomes, (), {}, rules or Rules())
    return replace(table, columns=(*table.columns, average), cells={**table.cells, **extra})


def _average(table: Table, row: RowMeta, columns: Sequence[ColumnMeta]) -> Outcome:
    parts = [table.cell(row, column) for column in columns]
    if any(cell.mean is None for cell in parts):
        return Outcome(state=State.MISSING, reason="no average over a row with holes")
    shared = set.intersection(*(set(cell.values) for cell in parts))
    if not shared or any("partial" in cell.flags for cell in parts):
        return Outcome(state=State.MISSING, reason="no average over different seeds")
    values = {
        seed: sum(cell.values[seed] for cell in parts) / len(parts) for seed in sorted(shared)
    }
    worst = next((c for c in parts if c.state is not State.DONE), parts[0])
    return Outcome(values=values, state=worst.state, reason=worst.reason)


def _cells(
    rows: Sequence[RowMeta],
    columns: Sequence[ColumnMeta],
    outcomes: Mapping[CellId, Outcome],
    seeds: tuple[int, ...],
    references: Mapping[CellId, Reference],
    rules: Rules,
) -> dict[CellId, Cell]:
    cells = {}
    for row in rows:
        for column in columns:
            at = (row.id, column.id)
            outcome = outcomes.get(at, NOT_RUN)
            cells[at] = _cell(row, column, outcome, seeds, references.get(at), rules)
    for at in _best(rows, columns, cells, rules):
        cells[at] = replace(cells[at], best=True)
    return cells


def _cell(
    row: RowMeta,
    column: ColumnMeta,
    outcome: Outcome,
    seeds: tuple[int, ...],
    reference: Reference | None,
    rules: Rules,
) -> Cell:
    state = _state(row, outcome)
    values = list(outcome.values.values())
    spread = summarise(values if outcome.distinct else values[:1])
    lacking = tuple(seed for seed in seeds if seed not in outcome.values) if spread else ()
    cell = Cell(
        row=row.id,
        column=column.id,
        state=state,
        values=dict(outcome.values),
        mean=spread.mean if spread else None,
        std=spread.std if spread else None,
        n=spread.n if spread else 0,
        reference=reference.value if reference else None,
        reference_source=reference.source if reference else "",
        flags=_flags(row, column, state, lacking),
        reason=_reason(outcome, state, lacking),
    )
    # A cost depends on the machine, which no publication names: shown beside theirs, not judged.
    judged = None if column.quantity else reference
    return replace(cell, verdict=_verdict(cell, judged, rules))


def _state(row: RowMeta, outcome: Outcome) -> State:
    if outcome.state is State.DONE and not outcome.values:
        raise ValueError("an outcome that is done has values")
    return State.REPORTED if row.reported_only and not outcome.values else outcome.state


def _flags(
    row: RowMeta, column: ColumnMeta, state: State, lacking: tuple[int, ...]
) -> tuple[Flag, ...]:
    said: dict[Flag, bool] = {
        "assumed": column.assumed,
        "protocol-assumed": bool(column.protocol),
        "limited": state is State.LIMITED,
        "disturbed": state is State.DISTURBED,
        "partial": bool(lacking),
        "reconstruction": row.reconstruction,
        "reported": state is State.REPORTED,
        "stale": state is State.STALE,
        "unavailable": state is State.UNAVAILABLE,
        "adopted": bool(row.adopted),
    }
    return tuple(flag for flag, true in said.items() if true)


def _reason(outcome: Outcome, state: State, lacking: tuple[int, ...]) -> str:
    if state is State.REPORTED and outcome.reason in ("", NOT_RUN.reason):
        return "published only: no run is planned here"
    if outcome.reason or not lacking:
        return " ".join(outcome.reason.split())  # one line, whatever an error message holds
    plural = "seed" if len(lacking) == 1 else "seeds"
    return f"{plural} {', '.join(map(str, lacking))} not run yet"


def _verdict(cell: Cell, reference: Reference | None, rules: Rules) -> Verdict:
    own = reference.tolerance if reference else None
    partial = cell.state is State.DONE and "partial" in cell.flags
    return judge(
        cell.mean,
        cell.std,
        reference.value if reference else None,
        tolerance=rules.tolerance if own is None else own,
        spread=rules.spread,
        state=State.MISSING if partial else cell.state,
    )


def _best(
    rows: Sequence[RowMeta],
    columns: Sequence[ColumnMeta],
    cells: Mapping[CellId, Cell],
    rules: Rules,
) -> list[CellId]:
    """The cells that beat every rival of their column by more than both spreads."""
    if rules.bold == "none":
        return []
    rivals: dict[tuple[str, str], list[Cell]] = {}
    signs = {column.id: 1 if column.better == "higher" else -1 for column in columns}
    for row in (row for row in rows if not (row.difference or row.control)):
        group = row.group if rules.bold == "best-in-group" else ""
        for column in columns:
            rivals.setdefault((group, column.id), []).append(cells[row.id, column.id])
    winners = (_winner(group, signs[column]) for (_, column), group in rivals.items())
    return [(cell.row, cell.column) for cell in winners if cell]


def _winner(cells: Sequence[Cell], sign: int) -> Cell | None:
    scored = [
        (Spread(cell.mean, cell.std, cell.n), cell) for cell in cells if cell.mean is not None
    ]
    if len(scored) < 2:
        return None
    scored.sort(key=lambda pair: -sign * pair[0].mean)
    (first, winner), *others = scored
    if winner.state is not State.DONE or "partial" in winner.flags:
        return None
    return winner if all(apart(first, other) for other, _ in others) else None


def _mixtures(columns: Sequence[ColumnMeta], outcomes: Mapping[CellId, Outcome]) -> list[str]:
    notes = []
    for column in columns:
        made = {o.environment for (_, c), o in outcomes.items() if c == column.id and o.environment}
        if len(made) > 1:
            notes.append(
                f"Column {column.title} mixes numbers made on {' and '.join(sorted(made))}."
            )
    return notes

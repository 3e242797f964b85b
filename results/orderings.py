"""Which published orders hold in a table: what must carry over where the numbers cannot.

Pure but for `read_claims`. Offers `Claim`, `read_claims`, `check_orderings` and `summary`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lima_bench.results.reference import PAPERS, plain
from lima_bench.results.stats import Spread, paired_difference
from lima_bench.results.table import Cell, ColumnMeta, Ordering, RowMeta, Table
from lima_bench.results.verdict import State

Outcome = Literal["holds", "leans", "fails", "untested"]
_NAMES = ("better", "worse", "dataset", "setting", "metric", "text", "source")


@dataclass(frozen=True)
class Claim:
    """One order that a publication's numbers show for every teacher.

    Attributes:
        better: Method id, or ``*`` for every method but the worse one.
        worse: Method id.
        dataset: Data-set id of the column.
        setting: Of the column.
        metric: Of the column.
        text: In words.
        source: Where the numbers stand.
    """

    better: str
    worse: str
    dataset: str
    setting: str
    metric: str
    text: str
    source: str


@dataclass(frozen=True)
class _Contest:
    row: RowMeta
    rival: RowMeta
    gain: Spread


def read_claims(key: str = "lima2025") -> tuple[Claim, ...]:
    """The orders stored for one publication."""
    with (PAPERS / key / "orderings.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Claim(*(line[name] for name in _NAMES)) for line in csv.DictReader(file))


def check_orderings(table: Table, claims: Sequence[Claim]) -> tuple[Ordering, ...]:
    """What the table says of each claim.

    Rows are compared within one teacher and student, seed by seed. A claim ``holds`` when the mean
    difference of every pair of rows exceeds its standard deviation, ``leans`` when all are positive
    but one is within its spread (or has one seed only), and ``fails`` when one is not positive.
    Claims about scores that no column of the table shows are not of its concern.
    """
    shown = {plain(column.metric) for column in table.columns}
    return tuple(_check(table, claim) for claim in claims if plain(claim.metric) in shown)


def summary(orderings: Sequence[Ordering]) -> str:
    """One sentence: how many of the tested orders hold, and how firmly; empty without any."""
    outcomes = [ordering.outcome for ordering in orderings]
    n_tested = len(outcomes) - outcomes.count("untested")
    if not n_tested:
        return ""
    firm, leaning = outcomes.count("holds"), outcomes.count("leans")
    asides = [f"{leaning} of them within the spread over seeds"] * (leaning > 0)
    asides += [f"{len(outcomes) - n_tested} more wait for numbers"] * (n_tested < len(outcomes))
    aside = f" ({'; '.join(asides)})" if asides else ""
    return f"Published orderings that hold here: {firm + leaning} of {n_tested}{aside}."


def _check(table: Table, claim: Claim) -> Ordering:
    contests = sorted(_contests(table, claim), key=_rank)
    if not contests:
        return Ordering(text=claim.text, outcome="untested", detail="numbers are missing")
    weakest = contests[0]
    return Ordering(text=claim.text, outcome=_outcome(weakest.gain), detail=_detail(weakest))


def _outcome(gain: Spread) -> Outcome:
    if gain.mean <= 0:
        return "fails"
    return "holds" if gain.std is not None and gain.mean > gain.std else "leans"


def _rank(contest: _Contest) -> tuple[int, float]:
    order = ("fails", "leans", "holds")
    return order.index(_outcome(contest.gain)), contest.gain.mean


def _detail(contest: _Contest) -> str:
    gain, row = contest.gain, contest.row
    std = "" if gain.std is None else f" ± {gain.std:.2f}"
    teacher = f" ({row.teacher})" if row.teacher else ""
    seeds = "1 seed" if gain.n == 1 else f"{gain.n} seeds"
    mean = f"{gain.mean:+.2f}".replace("-", "−")
    return f"{row.title}{teacher} − {contest.rival.title}: {mean}{std}, {seeds}"


def _contests(table: Table, claim: Claim) -> Iterator[_Contest]:
    """Every pair of rows that the claim is about and that both have a number."""
    rows = [row for row in table.rows if not (row.difference or row.control or row.guest)]
    for column in (column for column in table.columns if _asks(column, claim)):
        for row in rows:
            for rival in (rival for rival in rows if plain(rival.method) == plain(claim.worse)):
                gain = _gain(table.cell(row, column), table.cell(rival, column))
                if gain and _is_about(row, rival, claim):
                    yield _Contest(row, rival, gain)


def _asks(column: ColumnMeta, claim: Claim) -> bool:
    same = plain(column.dataset) == plain(claim.dataset) and column.setting == claim.setting
    return same and plain(column.metric) == plain(claim.metric)


def _is_about(row: RowMeta, rival: RowMeta, claim: Claim) -> bool:
    """Whether the row is the better one and stands on the same ground as its rival."""
    if claim.better == "*":
        better = plain(row.method) != plain(claim.worse)
    else:
        better = plain(row.method) == plain(claim.better)
    teachers = {plain(row.teacher), plain(rival.teacher)} - {""}
    students = {plain(row.student), plain(rival.student)} - {""}
    return better and len(teachers) <= 1 and len(students) <= 1


def _gain(ours: Cell, theirs: Cell) -> Spread | None:
    """The difference over shared seeds; a run on part of the data shows no order."""
    if State.LIMITED in (ours.state, theirs.state):
        return None
    return paired_difference(ours.values, theirs.values)

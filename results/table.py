"""A table as one object: rows times columns of cells, and what must be read beside it. Pure.

Offers `RowMeta`, `ColumnMeta`, `Quantity`, `Cell`, `Costs`, `Footer` and `Table`; `build` makes
tables, `view` prepares them for the eye, `render` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lima_bench.results.verdict import State, Verdict

Flag = Literal[
    "reconstruction",
    "assumed",
    "protocol-assumed",
    "stale",
    "limited",
    "disturbed",
    "partial",
    "reported",
    "unavailable",
    "adopted",
]
"""What a reader must know of a cell: see `view.LEGEND`. ``partial``: some seeds are missing."""

Quantity = Literal["", "hours", "seconds", "gigabytes"]
"""What a column of costs holds; empty for scores."""


@dataclass(frozen=True, kw_only=True)
class RowMeta:
    """How a backbone was taught.

    Attributes:
        id: The row's name in the suite.
        title: As tables print it.
        method: Method id; empty in rows of differences.
        teacher: Teacher id or title, empty without one.
        student: Backbone id or title.
        frames: How many frames the method sees, the current one included; None if meaningless.
        group: Rows of one group stand together, and the best is sought among them.
        venue: Where the method was published.
        reconstruction: The method's text could not be read in full.
        reported_only: Only the publication has numbers.
        control: No contender but a measure of what the comparison is worth, such as pretraining
            against a random teacher: never best, in no ordering.
        difference: The row holds differences of two rows: signed, never best.
        adopted: Where weights that were taught elsewhere come from; empty for all others.
        guest: The suite does not name the row: verdicts, golden numbers and orders leave it out.
    """

    id: str
    title: str
    method: str = ""
    teacher: str = ""
    student: str = ""
    frames: int | None = None
    group: str = ""
    venue: str = ""
    reconstruction: bool = False
    reported_only: bool = False
    control: bool = False
    difference: bool = False
    adopted: str = ""
    guest: bool = False


@dataclass(frozen=True, kw_only=True)
class ColumnMeta:
    """What is asked of a backbone.

    Attributes:
        id: The column's name in the suite.
        title: As tables print it, such as ``1%``.
        dataset: Data-set id; empty for costs.
        setting: ``LP``, ``1%``, ...
        metric: Which score of the record.
        group: Header above columns that stand together.
        assumed: Something about the column is stated by no source.
        protocol: ``assumed`` where no public text tells how papers split, thin out or score the
            data set; printed under the column.
        decimals: Digits after the point; None until `lima_bench.results.units` has chosen.
        better: Which direction is good.
        quantity: Of a cost; it is shown beside published numbers and never judged, for nobody says
            which machine they are of.
        unit: In which a cost is printed, ``auto`` until `lima_bench.results.units` has chosen;
            scores are percent and need none.
        scale: What is printed is the number times this.
    """

    id: str
    title: str
    dataset: str = ""
    setting: str = ""
    metric: str = "miou"
    group: str = ""
    assumed: bool = False
    protocol: Literal["", "assumed"] = ""
    decimals: int | None = 2
    better: Literal["higher", "lower"] = "higher"
    quantity: Quantity = ""
    unit: str = ""
    scale: float = 1.0

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number with its spread, its reference and all that must be said of it.

    Attributes:
        row: Row id.
        column: Column id.
        values: Seed to score.
        mean: Of the values, None in a hole.
        std: Sample standard deviation, None for fewer than two seeds.
        n: How many seeds.
        reference: The number it is compared with, None if there is none.
        reference_source: Who states it.
        verdict: The comparison.
        state: How far the cell has come.
        flags: What a reader must know, sorted.
        reason: Why there is a hole, or what the flag means here.
        best: Best of its column (and group) beyond the spread.
    """

    row: str
    column: str
    values: Mapping[int, float] = field(default_factory=dict)
    mean: float | None = None
    std: float | None = None
    n: int = 0
    reference: float | None = None
    reference_source: str = ""
    verdict: Verdict = Verdict.MISSING
    state: State = State.MISSING
    flags: tuple[Flag, ...] = ()
    reason: str = ""
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What teaching the backbone of one row took.

    Attributes:
        wall_hours: Of the pretraining, mean over seeds.
        cpu_hours: Over all cores; None if not measured.
        shared_wall_hours: Of the cached stages that it reads (teacher features, superpixels), which
            other rows may read as well; not in the others.
        cpu_seconds_per_sample: CPU time of one scan, mean over seeds.
        peak_memory_gb: Highest of any seed; None if not measured.
    """

    wall_hours: float | None = None
    cpu_hours: float | None = None
    shared_wall_hours: float | None = None
    cpu_seconds_per_sample: float | None = None
    peak_memory_gb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Footer:
    """Where the numbers come from.

    Attributes:
        version: Of the package.
        commit: Of the source, empty outside a checkout.
        dirty: The checkout held changes beyond that commit.
        date: ISO date of the newest record, or of the rendering.
        seeds: That the profile asks for.
        embedded: Made on the built-in world: no published number applies.
    """

    version: str
    commit: str = ""
    dirty: bool = False
    date: str = ""
    seeds: tuple[int, ...] = ()
    embedded: bool = False


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """Whether an order that publications agree on holds in this table.

    Attributes:
        text: The claim in words.
        outcome: ``holds`` beyond the spread, ``leans`` that way within it, ``fails``, or
            ``untested`` for want of numbers.
        detail: The weakest difference that was looked at.
    """

    text: str
    outcome: Literal["holds", "leans", "fails", "untested"]
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows times columns; every pair has a cell.

    Attributes:
        title: One sentence.
        suite: Its name.
        profile: The sizes it was run at.
        rows: In the order to print.
        columns: In the order to print.
        cells: ``(row id, column id)`` to cell.
        footer: Where the numbers come from.
        against: What the references are: ``paper``, ``golden`` or empty.
        notes: Warnings that concern the whole table.
        costs: Row id to what it took.
        orderings: Published orders, checked here.
        splits: The same rows scored on parts of the points, if the records say so.
    """

    title: str
    suite: str
    profile: str
    rows: tuple[RowMeta, ...]
    columns: tuple[ColumnMeta, ...]
    cells: Mapping[tuple[str, str], Cell]
    footer: Footer
    against: str = ""
    notes: tuple[str, ...] = ()
    costs: Mapping[str, Costs] = field(default_factory=dict)
    orderings: tuple[Ordering, ...] = ()
    splits: Table | None = None

    def cell(self, row: RowMeta, column: ColumnMeta) -> Cell:
        """The cell where they meet."""
        return self.cells[row.id, column.id]

    def __iter__(self) -> Iterator[tuple[RowMeta, ColumnMeta, Cell]]:
        """Every cell with its row and column, row by row."""
        for row in self.rows:
            for column in self.columns:
                yield row, column, self.cell(row, column)

    def judged(self) -> tuple[Verdict, ...]:
        """The verdicts that count: without guests, and without cells that cannot be run here."""
        out = (State.UNAVAILABLE, State.REPORTED)
        cells = (cell for row, _, cell in self if not row.guest)
        return tuple(cell.verdict for cell in cells if cell.state not in out)

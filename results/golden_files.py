"""What the embedded suites must give: numbers of an earlier run, kept with the source.

Offers `read_golden`, `to_golden`, `write_golden` and `strays`. A file ``<suite>.<profile>.csv`` has
the columns ``row,column,value,std,n_seeds,tolerance``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.results.build import CellId, Reference
from lima_bench.results.table import Table
from lima_bench.results.verdict import State

GOLDEN = Path(__file__).parent / "golden"
COLUMNS = ("row", "column", "value", "std", "n_seeds", "tolerance")


def golden_path(suite: str, profile: str, folder: Path = GOLDEN) -> Path:
    """Where the golden numbers of a suite at a profile lie."""
    return folder / f"{suite}.{profile}.csv"


def read_golden(suite: str, profile: str, folder: Path = GOLDEN) -> dict[CellId, Reference]:
    """The golden numbers of a suite at a profile; none if it has no file.

    Raises:
        UserError: A line is damaged.
    """
    path = golden_path(suite, profile, folder)
    if not path.exists():
        return {}
    found: dict[CellId, Reference] = {}
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines, ())) != COLUMNS:
            raise _damaged(path, 1)
        for fields in lines:
            try:
                row, column, value, std, _, tolerance = fields
                found[row, column] = Reference(
                    value=float(value),
                    std=float(std) if std else None,
                    tolerance=float(tolerance),
                    source="golden",
                )
            except ValueError as error:
                raise _damaged(path, lines.line_num) from error
    return found


def to_golden(table: Table, *, tolerance: float, spread: float = 2.0) -> str:
    """The scores of the table's finished cells as golden numbers; costs stay out.

    Args:
        table: Where they come from; holes, stale, limited and partial cells and guests stay out.
        tolerance: The least a later run may differ, in the score's unit.
        spread: Standard deviations over seeds that it may differ.

    Raises:
        UserError: No cell is finished.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    n_written = 0
    for row, column, cell in table:
        whole = cell.state is State.DONE and "partial" not in cell.flags
        if row.guest or cell.mean is None or not whole:
            continue
        if column.quantity:  # a cost is of its machine: nothing that another has to give again
            continue
        allowed = max(tolerance, spread * (cell.std or 0.0))
        std = "" if cell.std is None else repr(cell.std)
        writer.writerow((row.id, column.id, repr(cell.mean), std, cell.n, repr(allowed)))
        n_written += 1
    if not n_written:
        where = f"golden numbers of {table.suite}, profile {table.profile}"
        how = f"lima-bench run {table.suite} --profile {table.profile}"
        raise UserError(where, "No cell of the table is finished.", how)
    return text.getvalue()


def write_golden(table: Table, *, tolerance: float, folder: Path = GOLDEN) -> Path:
    """Keep the table's numbers as what later runs must give.

    Raises:
        UserError: No cell is finished, or one that the file has would be lost.
    """
    path = golden_path(table.suite, table.profile, folder)
    text = to_golden(table, tolerance=tolerance)
    kept = {tuple(line[:2]) for line in csv.reader(text.splitlines())}
    lost = sorted(read_golden(table.suite, table.profile, folder).keys() - kept)
    if lost:
        what = f"The table has no finished number for {len(lost)} cells of this file: {lost[0]}."
        raise UserError(path, what, "Run those cells too, or delete the file first.")
    write_atomic(path, text)
    return path


def strays(references: Mapping[CellId, Reference], table: Table) -> list[CellId]:
    """References whose row or column the table does not have: renamed, or filtered out."""
    return sorted(references.keys() - table.cells.keys())


def _damaged(path: Path, line: int) -> UserError:
    what = f"This is no line of golden numbers ({','.join(COLUMNS)})."
    return UserError(f"{path}:{line}", what, "Restore the file from the source, or delete it.")

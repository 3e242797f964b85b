"""Text files of numbers beside recordings: calibrations and poses, checked row by row.

Offers `read_rows`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float64


def read_rows(path: Path, columns: int) -> Float64 | None:
    """The rows (F, columns) of a text file of numbers; None if there is no such file.

    Raises:
        UserError: Something is no finite number, or a row has another length.
    """
    if not path.is_file():
        return None
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        words = line.split()
        if words:
            rows.append(_row(f"{path}:{number}", words, columns))
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def _row(where: str, words: list[str], columns: int) -> list[float]:
    """One line's numbers."""
    if len(words) != columns:
        what = f"A row has {columns} numbers here, this one has {len(words)}."
        raise UserError(where, what, "Get the file again.")
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise UserError(where, f"This is not a number: {error}.", "Get the file again.") from error
    if not np.isfinite(values).all():
        raise UserError(where, "A number here is not finite.", "Get the file again.")
    return values

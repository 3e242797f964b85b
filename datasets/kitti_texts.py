"""Text files in KITTI's manner: rows of numbers, and calibrations of named 3x4 matrices.

Offers `read_numbers`, `read_matrices`, `as_transforms` and `row_of_scan`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.rigid import rigid
from lima_bench.datasets.sample import Float64


def read_numbers(path: Path, columns: int) -> Float64 | None:
    """A text file's rows (F, columns); None if there is no such file.

    Raises:
        UserError: Something is not a number, or a row has more or fewer of them.
    """
    if not path.is_file():
        return None
    try:
        rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
    except ValueError as error:
        raise UserError(path, f"This is not a number: {error}.", "Get the file again.") from error
    rows = [row for row in rows if row]
    wrong = next((i for i, row in enumerate(rows) if len(row) != columns), None)
    if wrong is not None:
        raise UserError(
            f"{path}:{wrong + 1}",
            f"A row has {columns} numbers here, this one has {len(rows[wrong])}.",
            "Get the file again.",
        )
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def read_matrices(path: Path, names: tuple[str, ...], how: str) -> tuple[Float64, ...]:
    """The matrices (3, 4) of those lines of a ``calib.txt``, in the order of `names`.

    Args:
        path: The file.
        names: What stands before the colons.
        how: Where the file comes from.

    Raises:
        UserError: The file is absent, or lacks a line, or a line is not twelve numbers.
    """
    if not path.is_file():
        raise UserError(path, "The calibration is absent, so poses and images mean nothing.", how)
    lines = (line.partition(":") for line in path.read_text().splitlines())
    entries = {name.strip(): values.split() for name, _, values in lines}
    for name in names:
        if len(entries.get(name, ())) != 12:
            raise UserError(path, f"The line {name}: with twelve numbers is absent.", how)
    try:
        return tuple(np.array(entries[name], dtype=np.float64).reshape(3, 4) for name in names)
    except ValueError as error:
        raise UserError(path, f"This is not a number: {error}.", how) from error


def as_transforms(rows: Float64) -> Float64:
    """Rows (F, 12) or matrices (F, 3, 4) as transforms (F, 4, 4)."""
    parts = rows.reshape(-1, 3, 4)
    return rigid(parts[:, :, :3], parts[:, :, 3])


def row_of_scan(path: Path, rows: Float64, stem: str) -> Any:
    """The row of a text file that belongs to the scan of that number.

    Args:
        path: The text file that `rows` were read from.
        rows: One a scan.
        stem: The scan's number, as its file is called.

    Raises:
        UserError: The file ends before that row.
    """
    number = int(stem)
    if number >= len(rows):
        raise UserError(
            path,
            f"This file has {len(rows)} rows, none for scan {stem}.",
            "It has one row a scan; get it again.",
        )
    return rows[number]

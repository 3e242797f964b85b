"""Point and label files: flat binary arrays, checked before anyone trusts them.

Offers `read_scan`, `read_labels` and `refuse_strange_points`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float32

_AGAIN = "Get this file again from where the data set came from."


def read_scan(path: Path, columns: int) -> Float32:
    """A scan file's rows (N, columns), little-endian float32.

    Raises:
        UserError: The file is missing, empty, cut in the middle of a row, or holds values that
            are not numbers.
    """
    size = _size(path, "scan")
    row = 4 * columns
    if size % row:
        raise UserError(
            path,
            f"This scan is truncated: {size} bytes are no multiple of {row} "
            f"({columns} float32 a point).",
            _AGAIN,
        )
    rows: Float32 = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    refuse_strange_points(path, rows)
    return rows


def refuse_strange_points(path: Path, rows: Float32) -> None:
    """Refuse a scan (N, columns) without points, or with values that are not numbers.

    Raises:
        UserError: Names the file and how many points are strange.
    """
    if not len(rows):
        raise UserError(path, "This scan is empty: it holds no points.", _AGAIN)
    finite = np.isfinite(rows)
    if not finite.all():
        strange = int((~finite).any(axis=1).sum())
        raise UserError(
            path, f"{strange} of {len(rows)} points are not numbers (NaN or infinite).", _AGAIN
        )


def read_labels(path: Path, dtype: str, n_points: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """A label file's raw values (N,), one per point of its scan.

    Raises:
        UserError: The file is missing or has not exactly `n_points` labels.
    """
    size, width = _size(path, "label file"), np.dtype(dtype).itemsize
    if size != n_points * width:
        raise UserError(
            path,
            f"This file has {size / width:g} labels of {width} bytes, but its scan has "
            f"{n_points} points.",
            "Scan and labels must come from the same release; get both again.",
        )
    return np.fromfile(path, dtype=dtype)


def _size(path: Path, kind: str) -> int:
    """Bytes of the file."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(path, f"This {kind} is missing or cannot be read.", _AGAIN) from error

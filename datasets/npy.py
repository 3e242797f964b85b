"""Point and label files in NumPy's ``.npy`` format, checked before anyone trusts them.

Offers `read_npy`, `read_npy_scan` and `read_npy_labels`. Nothing is unpickled: a file that holds
objects instead of numbers is refused.
"""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float32, Int64
from lima_bench.datasets.scans import refuse_strange_points

_AGAIN = "Get this file again from where the data set came from."
_NUMBERS = "fiub"
_BROKEN = (ValueError, TypeError, SyntaxError, TokenError)
"""What NumPy raises on a header that is none."""
_READ_HEADER = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def read_npy(path: Path, kind: str) -> npt.NDArray[Any]:
    """The array of numbers in a file, in this machine's byte order.

    Args:
        path: The file.
        kind: What it is, for messages: "scan", "label file".

    Raises:
        UserError: The file is missing, is no ``.npy`` file, holds something else than numbers, or
            is longer or shorter than its header says.
    """
    try:
        with path.open("rb") as file:
            shape, by_column, dtype = _header(file)
            content = file.read()
    except OSError as error:
        raise UserError(path, f"This {kind} is missing or cannot be read.", _AGAIN) from error
    except _BROKEN as error:
        raise UserError(path, f"This {kind} is no whole .npy file: {error}.", _AGAIN) from error
    if dtype.kind not in _NUMBERS:
        raise UserError(path, f"This {kind} holds {dtype}, not numbers; it is not opened.", _AGAIN)
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) != wanted or min(shape, default=0) < 0:
        raise UserError(
            path,
            f"This {kind} is truncated or too long: {len(content)} bytes of numbers, but its "
            f"header says {wanted}, shape {shape}.",
            _AGAIN,
        )
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
    return values.astype(dtype.newbyteorder("="), order="C")


def read_npy_scan(path: Path, columns: tuple[int, ...]) -> Float32:
    """A scan file's rows (N, c) as float32, c one of `columns`.

    Raises:
        UserError: As `read_npy`; or the scan is empty, has another number of columns, or holds
            values that are not numbers.
    """
    values = read_npy(path, "scan")
    if values.ndim != 2 or values.shape[1] not in columns:
        known = " or ".join(str(number) for number in columns)
        raise UserError(
            path, f"A scan has {known} columns; the shape of this array is {values.shape}.", _AGAIN
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
        rows = values.astype(np.float32)
    refuse_strange_points(path, rows)
    return rows


def read_npy_labels(path: Path, n_points: int) -> Int64:
    """A label file's raw values (N,), one per point of its scan, whatever the array's shape.

    Raises:
        UserError: As `read_npy`; or the file has not exactly `n_points` values, or some are no
            whole numbers.
    """
    values = read_npy(path, "label file").reshape(-1)
    if len(values) != n_points:
        raise UserError(
            path,
            f"This file has {len(values)} labels, but its scan has {n_points} points.",
            "Scan and labels must come from the same release; get both again.",
        )
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise UserError(path, "Some labels are no whole numbers.", _AGAIN)
    return values.astype(np.int64)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether stored column by column, and type of the numbers that follow."""
    version = npy_format.read_magic(file)  # type: ignore[no-untyped-call]
    if version not in _READ_HEADER:
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not known here")
    shape, by_column, dtype = _READ_HEADER[version](file)  # type: ignore[no-untyped-call]
    return shape, by_column, dtype

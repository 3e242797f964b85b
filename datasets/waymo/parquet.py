"""One component of one segment of Waymo Open's second format: rows of a parquet file by their keys.

Offers `Columns`, `read_keys`, `read_rows` and `stamp`. Keys are read alone; of the rest only the
row groups that hold the wanted rows, for a file may be as long as the segment's whole recording.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lima_bench.common.errors import UserError

Key = tuple[int, ...]
Stamp = tuple[int, int]
Columns = Mapping[str, Any]
"""The values of one row by column: arrays for lists, else plain values; None where absent."""

_BATCH = 8
"""Rows that are decoded at once."""

TIMESTAMP, LASER, CAMERA = "frame_timestamp_micros", "laser_name", "camera_name"


def stamp(path: Path) -> Stamp:
    """Change time and size of a file, zeros if it is absent: equal stamps, equal content."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


def read_keys(
    path: Path, keys: Sequence[str], names: Mapping[str, int]
) -> Mapping[Key, tuple[int, int]]:
    """Where each row of a file lies: its keys to its row group and its place in there.

    Args:
        path: The file.
        keys: Key columns without the prefix ``key.``; the segment's name is the file's.
        names: Numbers of sensors that a file may call by name (an early release does).

    Raises:
        UserError: The file is missing or broken, lacks a key column, or has a key twice.
    """
    return _keys(path, tuple(keys), tuple(names.items()), stamp(path))


@lru_cache(maxsize=256)  # of a thousand segments, all would be half a gigabyte
def _keys(
    path: Path, keys: tuple[str, ...], names: tuple[tuple[str, int], ...], stamp: Stamp
) -> Mapping[Key, tuple[int, int]]:
    """`read_keys`, once per process and `stamp`."""
    del stamp
    numbers = dict(names)
    with _opened(path) as file:
        _refuse_missing(path, file, [f"key.{key}" for key in keys])
        try:
            table = file.read(columns=[f"key.{key}" for key in keys], use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise _broken(path, error) from error
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    columns = [
        [_number(path, key, value, numbers) for value in table.column(f"key.{key}").to_pylist()]
        for key in keys
    ]
    places = [(group, row) for group, size in enumerate(sizes) for row in range(size)]
    found = dict(zip(zip(*columns, strict=True), places, strict=True))
    if len(found) < len(places):
        raise UserError(path, "Two rows have the same keys.", _again(path))
    return found


def read_rows(
    path: Path,
    places: Collection[tuple[int, int]],
    columns: Sequence[str],
    optional: Sequence[str] = (),
) -> Iterator[tuple[tuple[int, int], Columns]]:
    """The rows at `places`, one row group at a time.

    Args:
        path: The file.
        places: Row group and place in there, as `read_keys` gives them.
        columns: Which columns.
        optional: Further columns that a file may lack.

    Raises:
        UserError: The file is missing or broken, or lacks one of `columns`.
    """
    with _opened(path) as file:
        there = set(file.schema_arrow.names)
        wanted = [*columns, *(name for name in optional if name in there)]
        _refuse_missing(path, file, wanted)
        for group in sorted({group for group, _ in places}):
            rows = {row for at, row in places if at == group}
            try:
                yield from _of_group(file, group, rows, wanted)
            except (pa.ArrowException, OSError) as error:
                raise _broken(path, error) from error


def _of_group(
    file: pq.ParquetFile, group: int, rows: set[int], columns: list[str]
) -> Iterator[tuple[tuple[int, int], Columns]]:
    """Some rows of one row group, decoded a few at a time: a group may be gigabytes long."""
    first, last = 0, max(rows)
    batches = file.iter_batches(_BATCH, row_groups=[group], columns=columns, use_threads=False)
    for batch in batches:
        for row in sorted(row for row in rows if first <= row < first + batch.num_rows):
            yield (group, row), {n: _value(batch.column(n)[row - first]) for n in columns}
        first += batch.num_rows
        if first > last:
            return


def numbers(path: Path, row: Columns, column: str, count: int | None = None) -> Any:
    """A list's values (n,), `count` of them.

    Raises:
        UserError: The value is absent or has another length.
    """
    values = row.get(column)
    if values is None:
        raise UserError(path, f'The column "{column}" is empty.', _again(path))
    if count is not None and len(values) != count:
        raise UserError(
            path, f'"{column}" has {len(values)} values, expected {count}.', _again(path)
        )
    return values


def matrix(path: Path, row: Columns, column: str) -> Any:
    """A 4x4 transform in float64, whatever its file stores.

    Raises:
        UserError: The value is absent or has not 16 numbers.
    """
    return numbers(path, row, column, 16).astype(np.float64).reshape(4, 4)


def image(path: Path, row: Columns, prefix: str) -> Any:
    """An image (H, W, channels) from the columns ``<prefix>.values`` and ``<prefix>.shape``.

    Gives None where both are absent.

    Raises:
        UserError: There are not as many values as the shape says.
    """
    values, shape = row.get(f"{prefix}.values"), row.get(f"{prefix}.shape")
    if values is None or shape is None:
        return None
    if len(shape) < 2 or len(values) != int(np.prod(shape.astype(np.int64))):
        size = " x ".join(map(str, shape.tolist()))
        raise UserError(
            path,
            f'"{prefix}" is truncated: {len(values)} values for an image of {size}.',
            _again(path),
        )
    return values.reshape(shape)


def _opened(path: Path) -> pq.ParquetFile:
    """The file, its footer read."""
    if not path.is_file():
        raise UserError(
            path,
            f'The component "{path.parent.name}" of this segment is missing.',
            f"Download the folder {path.parent.name} of the same release too.",
        )
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _refuse_missing(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Refuse a file that lacks a column."""
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise UserError(path, f'The column "{missing[0]}" is missing.', _again(path))


def _value(scalar: Any) -> Any:
    """A list as an array, anything else as Python has it."""
    values = getattr(scalar, "values", None)
    if values is None or not isinstance(values, pa.Array):
        return scalar.as_py()
    return values.to_numpy(zero_copy_only=False)


def _number(path: Path, key: str, value: Any, names: Mapping[str, int]) -> int:
    """A key's value; the early release writes ``FRONT`` or ``"1"`` where the schema says 1."""
    try:
        return names[value] if value in names else int(value)
    except (TypeError, ValueError) as error:
        raise UserError(path, f'"key.{key}" cannot be {value!r}.', _again(path)) from error


def _broken(path: Path, error: Exception) -> UserError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(path, f"This is no whole parquet file: {first}", _again(path))


def _again(path: Path) -> str:
    return f"Get {path.parent.name}/{path.name} again from the release."

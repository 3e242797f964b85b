"""Keeps an index on disk and opens it from there, without reading more than what is looked at.

Offers `kept_index`, `LooseIndex` and `FORMAT`. An index lies in the user's cache folder, never
beside the data, as one array file a column: ``<cache>/nuscenes/<root and card>/<format>-<stamp>/``.
It is written whole or not at all, used while the tables keep their sizes and times, and built again
when one of its files is broken.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling
from lima_bench.common.hashing import digest
from lima_bench.common.locks import locked
from lima_bench.datasets.cache_folder import VARIABLE, cache_folder
from lima_bench.datasets.nuscenes.annotations import Annotations
from lima_bench.datasets.nuscenes.files import Files
from lima_bench.datasets.nuscenes.index import Index
from lima_bench.datasets.nuscenes.strings import Strings
from lima_bench.datasets.nuscenes.tables import Stamp

FORMAT = 2
"""Raise it when a column is added, dropped or means something else."""

ORIGIN = "folder.txt"
"""Beside the columns: where the tables lie, so that the index of tables that are gone can go."""

Columns = dict[str, npt.NDArray[Any]]
Part = TypeVar("Part", Index, Files, Annotations, Strings)

_PARTS: Mapping[str, type[Any]] = {
    "Files": Files,
    "Strings": Strings,
    "Annotations | None": Annotations,
}
"""What a field is made of, by its annotation; any other is an array, or a truth value."""


class LooseIndex(UserWarning):
    """A kept index could not be used, or a new one could not be kept."""


def kept_index(
    folder: Path, stamp: Stamp, facts: Mapping[str, Any], build: Callable[[], Index]
) -> Index:
    """The index of the tables in `folder` from disk; built and kept first where it is not there.

    Args:
        folder: Of the tables.
        stamp: Their sizes and times.
        facts: What the index takes from elsewhere, as JSON values.
        build: Makes the index.

    Raises:
        UserError: `build` does; nothing is kept then.

    Warns:
        LooseIndex: What was kept is broken, or nothing can be kept here.
    """
    base = cache_folder()
    if base is None:
        _say(folder, "There is no home folder.")
        return build()
    own = base / "nuscenes" / digest({"folder": str(folder.resolve()), "facts": facts})[:16]
    place = own / f"{FORMAT}-{digest(stamp)[:16]}"
    with _one_at_a_time(own):
        index = _read(place)
        if index is None:
            index = build()
            if _write(index, place, folder.resolve()):
                _forget(place)
                index = _read(place) or index  # whose columns take no memory
    return index


@contextlib.contextmanager
def _one_at_a_time(own: Path) -> Iterator[None]:
    """Hold the lock of this index where there can be one; others wait instead of building too."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(UserError, OSError):  # what cannot be locked is told by `_write`
            stack.enter_context(locked(own / "lock", wait=True))
        yield


def _write(index: Index, place: Path, folder: Path) -> bool:
    """Keep the index of `folder` at `place`; False, with a warning, where that cannot be done."""
    try:
        with filling(place) as draft:
            (draft / ORIGIN).write_text(str(folder))
            for name, column in columns_of(index).items():
                np.save(draft / f"{name}.npy", column, allow_pickle=False)
    except UserError as error:
        _say(error.where, error.what)
        return False
    except OSError as error:
        _say(str(place), f"{error}.")
        return False
    return True


def _read(place: Path) -> Index | None:
    """The index at `place`; None where there is none. A broken one is removed, with a warning."""
    if not place.is_dir():
        return None
    try:
        return index_of({path.stem: _column(path) for path in place.glob("*.npy")})
    except (OSError, ValueError, KeyError, EOFError) as error:
        text = f"{place}: the index that was kept here is broken ({error}); it is built again."
        warnings.warn(text, LooseIndex, stacklevel=2)
        shutil.rmtree(place, ignore_errors=True)
        return None


def _column(path: Path) -> npt.NDArray[Any]:
    """The array of a file, which is only looked at; a file of any other kind is a ValueError.

    `numpy.load` would take an archive or a pickle for an array, and fail in as many ways.
    """
    mapped = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
    return np.asarray(mapped)  # a memmap is slow to take a row from


def _forget(place: Path) -> None:
    """Remove what was kept of the same tables before they changed, and of tables that are gone."""
    for other in place.parent.glob(f"{FORMAT}-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    for origin in place.parent.parent.glob(f"*/*/{ORIGIN}"):
        with contextlib.suppress(OSError, ValueError):
            if not Path(origin.read_text()).is_dir():
                shutil.rmtree(origin.parent.parent, ignore_errors=True)


def _say(where: object, what: str) -> None:
    text = (
        f"{where}: the index of the tables cannot be kept and is built by every process anew. "
        f"{what} Name another folder with {VARIABLE}."
    )
    warnings.warn(text, LooseIndex, stacklevel=2)


def columns_of(part: Part, prefix: str = "") -> Columns:
    """Every array that the index or a part of it consists of, by dotted name."""
    found: Columns = {}
    for field in fields(part):
        value, name = getattr(part, field.name), f"{prefix}{field.name}"
        if value is None:
            found[f"{name}.none"] = np.array(True)
        elif field.type in _PARTS:
            found |= columns_of(value, f"{name}.")
        else:
            found[name] = np.asarray(value)
    return found


def index_of(columns: Columns) -> Index:
    """The index whose columns these are.

    Raises:
        KeyError: One is missing.
        ValueError: Their lengths do not fit.
    """
    index = _part(Index, columns, "")
    n_frames, n_files = len(index.samples), len(index.files.token)
    per_frame = (index.lidar, index.cameras, index.lidarseg)
    per_file = (index.files.filename, index.files.timestamp_us, index.files.sensor_to_global)
    if {len(column) for column in per_frame} != {n_frames}:
        raise ValueError("columns of frames differ in length")
    if {len(column) for column in per_file} != {n_files}:
        raise ValueError("columns of files differ in length")
    return index


def _part(kind: type[Part], columns: Columns, prefix: str) -> Part:
    values: dict[str, Any] = {}
    for field in fields(kind):
        name = f"{prefix}{field.name}"
        if f"{name}.none" in columns:
            values[field.name] = None
        elif field.type in _PARTS:
            values[field.name] = _part(_PARTS[str(field.type)], columns, f"{name}.")
        else:
            column = columns[name]
            values[field.name] = column if column.ndim else column.item()
    return kind(**values)

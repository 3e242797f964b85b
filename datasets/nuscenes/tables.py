"""The JSON tables of a nuScenes version, read a row at a time.

Offers `read_table` and `scan_table`, `versions` and `stamp`, and the channel `LIDAR`. A row is
reduced to what is wanted as soon as it is parsed, and never kept as a dict.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.json_rows import REMEDY, Row, rows_of

LIDAR = "LIDAR_TOP"
"""The channel whose scans are the frames."""

Rows = list[dict[str, Any]]
Stamp = tuple[tuple[str, int, int], ...]
Kept = TypeVar("Kept")


def read_table(folder: Path, name: str, keep: Callable[[Row], Kept | None]) -> list[Kept]:
    """What `keep` makes of each row of ``<name>.json``, in file order, without its Nones.

    Raises:
        UserError: The table is missing, is not JSON, or a row lacks a field.
    """
    found: list[Kept] = []

    def visit(row: Row) -> None:
        kept = keep(row)
        if kept is not None:
            found.append(kept)

    scan_table(folder, name, visit)
    return found


def scan_table(folder: Path, name: str, visit: Callable[[Row], None]) -> None:
    """Show each row of ``<name>.json`` to `visit`, in file order.

    Raises:
        UserError: The table is missing, is not JSON, or a row lacks a field or holds in it what
            does not belong there.
    """
    path = folder / f"{name}.json"
    try:
        for row in rows_of(path):
            visit(row)
    except KeyError as error:
        raise UserError(path, f"A row lacks the field {error}.", REMEDY) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(path, f"A row holds a wrong value: {error}.", REMEDY) from error


def versions(root: Path) -> dict[str, Path]:
    """Every ``v1.0-*`` folder with tables under `root`, by name.

    Raises:
        UserError: There is no data root, or no version in it.
    """
    found = {path.parent.name: path.parent for path in sorted(root.glob("v1.0-*/scene.json"))}
    if not found:
        raise UserError(
            root,
            "There is no nuScenes here." if root.is_dir() else "This folder does not exist.",
            "Expected samples/, v1.0-trainval/*.json and lidarseg/v1.0-trainval/*.bin in "
            "<data>/nuscenes; say where <data> is with --data DIR or LIMA_BENCH_DATA.",
        )
    return found


def stamp(folder: Path) -> Stamp:
    """Name, size and change time of each table: equal stamps, equal index."""
    files = sorted(folder.glob("*.json"))
    return tuple((f.name, (s := f.stat()).st_size, s.st_mtime_ns) for f in files)

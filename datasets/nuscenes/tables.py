"""The JSON tables of a nuScenes version, read a column at a time.

Offers `read_table`, `versions` and `stamp`, and the channel `LIDAR`. The real tables hold millions
of rows (``sample_data`` and ``ego_pose`` 2.6 million each), so a row is reduced to what is wanted
while the file is being parsed and never kept as a dict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lima_bench.common.errors import UserError

LIDAR = "LIDAR_TOP"
"""The channel whose scans are the frames."""

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]
Stamp = tuple[tuple[str, int, int], ...]
Kept = TypeVar("Kept")

_REMEDY = "Get the metadata archive of this version again."


def read_table(folder: Path, name: str, keep: Callable[[Row], Kept | None]) -> list[Kept]:
    """What `keep` makes of each row of ``<name>.json``, in file order, without its Nones.

    Raises:
        UserError: The table is missing, is not JSON, or a row lacks a field.
    """
    path = folder / f"{name}.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(path, f"The table {name} is missing or cannot be read.", _REMEDY) from error
    try:
        rows = json.loads(text, object_hook=keep)
    except KeyError as error:
        raise UserError(path, f"A row lacks the field {error}.", _REMEDY) from error
    except ValueError as error:
        raise UserError(path, f"This table is not JSON: {error}.", _REMEDY) from error
    if not isinstance(rows, list):
        raise UserError(path, "A table is a JSON list of rows.", _REMEDY)
    return [row for row in rows if row is not None]


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

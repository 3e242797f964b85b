"""Where nuScenes-C keeps its files, and where the tables that name them lie.

Offers `SPLITS`, `tree`, `scan_file`, `label_file`, `label_file_of` and `tables_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.datasets.corruptions.table import LEVEL_NAMES, NAMES

FOLDER = "nuScenes-C"
RELEASED_VERSION = "v1.0-trainval"
"""Folder of the label files in the released set."""

SPLITS: Mapping[str, tuple[str, str]] = {
    f"{corruption}-{level}": (corruption, level) for corruption in NAMES for level in LEVEL_NAMES
}
"""Corruption and level by the name of their split, in the order of the published tables."""


def tree(root: Path, corruption: str, level: str) -> Path:
    """The folder of one corruption at one level."""
    return root / FOLDER / corruption / level


def scan_file(folder: Path, filename: str) -> Path:
    """The scan below a `tree`; corrupted scans keep the clean ones' names.

    Args:
        folder: The tree.
        filename: Of the clean scan, relative to its data root.
    """
    return folder / filename


def label_file(folder: Path, version: str, token: str) -> Path:
    """The labels below a `tree`, of the scan with this sample_data token."""
    return folder / "lidarseg" / version / f"{token}_lidarseg.bin"


def label_file_of(folder: Path, version: str, token: str) -> Path:
    """The labels that lie there: in the released folder, else in that of the tables' version."""
    released = label_file(folder, RELEASED_VERSION, token)
    own = label_file(folder, version, token)
    return released if released.is_file() or version == RELEASED_VERSION else own


def tables_of(root: Path) -> Path:
    """The data root with the tables: `root` itself, else ``nuscenes`` beside it.

    Raises:
        UserError: There is no data root, or neither place has tables.
    """
    places = (root, root.parent / "nuscenes")
    for place in places:
        if any(place.glob("v1.0-*/scene.json")):
            return place
    what = f"There are no nuScenes tables; looked for v1.0-*/scene.json in {places[0]} and in "
    raise UserError(
        root,
        f"{what}{places[1]}." if root.is_dir() else "This folder does not exist.",
        "nuScenes-C has no tables of its own: expected nuScenes-C/<corruption>/<level>/ in "
        "<data>/nuscenes_c and the tables of nuScenes (v1.0-trainval/*.json) there or in "
        "<data>/nuscenes; say where <data> is with --data DIR or LIMA_BENCH_DATA.",
    )

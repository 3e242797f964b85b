"""Makes nuScenes-C from nuScenes, real or built in.  Clean frames -> 24 trees of files.

Offers `write_corrupted` (a data root to a data root) and `write_trees` (one frame).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.corruptions.frame import RawFrame
from lima_bench.datasets.corruptions.table import corrupted, noise_of
from lima_bench.datasets.nuscenes.index import Index, open_index
from lima_bench.datasets.nuscenes.reader import CARD, NuScenes
from lima_bench.datasets.nuscenes.tables import stamp, versions
from lima_bench.datasets.nuscenes_c.layout import (
    RELEASED_VERSION,
    SPLITS,
    label_file,
    scan_file,
    tree,
)
from lima_bench.datasets.scans import read_labels, read_scan


def write_corrupted(
    nuscenes_root: Path,
    out_root: Path,
    *,
    split: str = "val",
    trees: Mapping[str, tuple[str, str]] = SPLITS,
    seed: int = 0,
    report: Report = silent,
) -> int:
    """Write the corrupted scans and labels of a clean nuScenes as nuScenes-C.

    The result reads as data set ``nuscenes_c`` where the tables lie in `out_root` or in a folder
    ``nuscenes`` beside it. Same seed, same bits; files that exist are written anew.

    Args:
        nuscenes_root: With tables, ``samples/LIDAR_TOP`` and lidarseg.
        out_root: Gets ``nuScenes-C/<corruption>/<level>/``.
        split: Of nuScenes.
        trees: Which corruptions and levels, by any name; all 24 unless said otherwise.
        seed: Root of all random draws.
        report: Hears of every finished frame.

    Returns:
        The number of clean frames.

    Raises:
        UserError: The clean set is missing or broken, or a frame has no lidarseg labels, without
            which nobody can tell what is ground and what a vehicle.
    """
    frames = NuScenes().frames(nuscenes_root, split)
    places = _rows_by_token(nuscenes_root, {frame.id for frame in frames})
    for done, frame in enumerate(frames, start=1):
        index, row = places[frame.id]
        name = index.files.filename[int(index.lidar[row])]
        clean = _clean(nuscenes_root, index, row)
        write_trees(clean, name, frame.id, out_root, RELEASED_VERSION, trees, seed=seed)
        report(done, len(frames))
    return len(frames)


def write_trees(
    frame: RawFrame,
    filename: str,
    token: str,
    root: Path,
    version: str = RELEASED_VERSION,
    trees: Mapping[str, tuple[str, str]] = SPLITS,
    *,
    seed: int = 0,
) -> None:
    """Write one clean frame under every corruption of `trees`.

    Args:
        frame: The clean scan with its labels.
        filename: Of the clean scan, relative to its data root.
        token: Its sample_data token; with the seed it decides the noise.
        root: Gets ``nuScenes-C/<corruption>/<level>/``.
        version: Folder of the label files.
        trees: Corruption and level by any name.
        seed: Root of all random draws.
    """
    for corruption, level in trees.values():
        result = corrupted(frame, corruption, level, noise_of(seed, corruption, level, token))
        folder = tree(root, corruption, level)
        for path, content in (
            (scan_file(folder, filename), result.rows),
            (label_file(folder, version, token), result.labels.astype("u1")),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.tobytes())


def _rows_by_token(root: Path, tokens: set[str]) -> dict[str, tuple[Index, int]]:
    """Index and row of the frame of each LiDAR token, from whichever version has it."""
    found: dict[str, tuple[Index, int]] = {}
    for folder in versions(root).values():
        index = open_index(folder, stamp(folder), CARD)
        for row, file in enumerate(index.lidar.tolist()):
            token = index.files.token[file]
            if token in tokens:
                found[token] = index, row
    return found


def _clean(root: Path, index: Index, row: int) -> RawFrame:
    """The clean scan of a frame with its labels."""
    scan = root / index.files.filename[int(index.lidar[row])]
    if not index.lidarseg[row]:
        raise UserError(
            scan,
            "This scan has no lidarseg labels, which corruptions need.",
            "Unpack the nuScenes-lidarseg archive over the data.",
        )
    rows = read_scan(scan, columns=5)
    return RawFrame.of(rows, read_labels(root / index.lidarseg[row], "u1", len(rows)))

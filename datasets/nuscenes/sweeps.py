"""The LiDAR scans before a keyframe: Index -> `sweeps_before` -> `Sweep`.

Offers `sweeps_before`. The chain of scans runs through sweeps and keyframes alike, so that a
keyframe is a sweep of the next ones; it begins anew with every scene.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.index import Index
from lima_bench.datasets.sample import Int64, Sweep
from lima_bench.datasets.scans import read_scan


def sweeps_before(root: Path, index: Index, row: int, n: int) -> tuple[Sweep, ...]:
    """The `n` latest scans of the scene before keyframe `row`, the latest first.

    Fewer where the scene begins. Each has the pose of its own time.

    Args:
        root: The data root.
        index: Of the version that is read.
        row: The keyframe's frame number.
        n: How many.

    Raises:
        UserError: A scan is missing or broken.
    """
    scene = int(np.searchsorted(index.starts, row, side="right")) - 1
    scans: Int64 = index.sweeps[index.sweep_starts[scene] : index.sweep_starts[scene + 1]]
    place = int(np.flatnonzero(scans == index.lidar[row])[0])
    return tuple(_sweep(root, index, file) for file in scans[max(place - n, 0) : place][::-1])


def _sweep(root: Path, index: Index, file: int) -> Sweep:
    path = root / index.files.filename[file]
    if not path.is_file():
        raise UserError(
            path,
            "This scan, which the tables name, is not here.",
            "Get the sensor files with sweeps, not those of keyframes alone; "
            "or set the sweeps of the method, or of the detector's recipe, to 0.",
        )
    rows = read_scan(path, columns=5)
    return Sweep(
        points=np.ascontiguousarray(rows[:, :3]),
        intensity=np.ascontiguousarray(rows[:, 3]),
        lidar_to_global=index.files.sensor_to_global[file].copy(),
        timestamp_s=float(index.files.timestamp_us[file]) * 1e-6,
    )

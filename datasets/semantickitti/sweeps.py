"""The scans before a scan, in sequences of numbered scans with one pose each.

Offers `scans_before`, for SemanticKITTI and the sets that hold its scans. At 10 Hz every scan is a
frame, so a frame's sweeps are the frames before it; number 0 begins the recording, as it begins
``poses.txt``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Frame, Sweep
from lima_bench.datasets.scans import read_scan
from lima_bench.datasets.semantickitti.sequence import Drive, lidar_pose, open_drive, time_s


def scans_before(frame: Frame, n: int) -> tuple[Sweep, ...]:
    """The `n` latest scans of the sequence before `frame`, the latest first.

    Fewer where the sequence begins.

    Raises:
        UserError: A scan is missing or broken, or the sequence has no poses.
    """
    drive = open_drive(frame.handle["folder"], frame.handle["stamp"])
    stem: str = frame.handle["stem"]
    number = int(stem)
    earlier = range(number - 1, max(number - n, 0) - 1, -1)
    return tuple(_sweep(drive, f"{other:0{len(stem)}}") for other in earlier)


def _sweep(drive: Drive, stem: str) -> Sweep:
    path: Path = drive.folder / "velodyne" / f"{stem}.bin"
    pose = lidar_pose(drive, stem)
    if pose is None:
        raise UserError(
            drive.folder / "poses.txt",
            "This file is not here, so scans cannot be laid over each other.",
            "Get the poses of SemanticKITTI, or set the method's sweeps to 0.",
        )
    rows = read_scan(path, columns=4)
    return Sweep(
        points=np.ascontiguousarray(rows[:, :3]),
        intensity=np.ascontiguousarray(rows[:, 3]),
        lidar_to_global=pose,
        timestamp_s=time_s(drive, stem),
    )

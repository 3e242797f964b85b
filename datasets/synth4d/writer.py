"""Recordings of the built-in world as Synth4D on disk.

Offers `write_recording` (a few frames of one town; run many at once) and `write_tables` (the lists
of frames, once). A recording's name is its set, its town and the number of its first frame:
``kitti_synth/Town03/000012``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.synth4d.lists import write_list
from lima_bench.datasets.synth4d.raw_ids import RAW
from lima_bench.datasets.world.recording import LidarScan, Recording

LIST_OF = {"train": "training_split", "val": "validation_split"}


@dataclass(frozen=True)
class FrameTables:
    """What one recording adds to the lists; plain data that travels between processes.

    Attributes:
        set_name: ``kitti_synth`` or ``nuscenes_synth``.
        town: ``Town03``, ...
        split: ``train`` or ``val``.
        frames: Names of the frames.
    """

    set_name: str
    town: str
    split: str
    frames: tuple[str, ...]


def write_recording(recording: Recording, root: Path) -> FrameTables:
    """Write some frames: velodyne (N, 4), labels (N, 1), and the scan's pose as calib (4, 4).

    What the published ``calib`` holds is not told; here it is LiDAR to global, float64. Sweeps and
    pictures are not written: the format has none.
    """
    set_name, town, first = recording.name.split("/")
    folder = root / set_name / town
    for part in ("velodyne", "labels", "calib"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    names = tuple(f"{int(first) + i:06}" for i in range(len(recording.moments)))
    for name, moment in zip(names, recording.moments, strict=True):
        _write_scan(moment.scan, folder, name)
    return FrameTables(set_name, town, recording.split, names)


def write_tables(parts: Iterable[FrameTables], root: Path, *, pretrain: Collection[str]) -> None:
    """Write the training and the validation list of each set.

    Args:
        parts: What `write_recording` returned, in the order of recordings.
        root: The data root.
        pretrain: Must be empty.

    Raises:
        ValueError: Something is to be pretrained on, but the format has no cameras.
    """
    if pretrain:
        raise ValueError("Synth4D has no cameras, so none of it is for pretraining")
    lists: dict[tuple[str, str], dict[str, list[str]]] = {}
    for part in parts:
        for name in LIST_OF.values():
            lists.setdefault((part.set_name, name), {})
        towns = lists[part.set_name, LIST_OF[part.split]]
        towns.setdefault(part.town, []).extend(part.frames)
    for (set_name, name), towns in lists.items():
        write_list(root, set_name, name, towns)


def _write_scan(scan: LidarScan, folder: Path, name: str) -> None:
    """One frame's three files."""
    rows = np.column_stack([scan.points, scan.intensity]).astype(np.float32)
    raw = RAW[scan.label].astype(np.uint8)[:, None]
    arrays: dict[str, npt.NDArray[Any]]
    arrays = {"velodyne": rows, "labels": raw, "calib": scan.ego_to_global @ scan.lidar_to_ego}
    for part, array in arrays.items():
        np.save(folder / part / f"{name}.npy", array, allow_pickle=False)

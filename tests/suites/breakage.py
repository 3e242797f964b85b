"""Small data sets as the world writes them, and how each one's files are broken.

A further data set takes part in the tests by one line of `SETS`.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from lima_bench.datasets.world.spec import WorldSpec

Break = Callable[[Path, "Written"], Path]


@dataclass(frozen=True)
class Written:
    """A data set as a small world writes it, and how its files are broken.

    Attributes:
        settings: Of its drive: a few frames.
        scans: Glob of its scans below the root.
        labels: Glob of its label files.
        breaks: What breaks a root: the function gives the file that must be named.
    """

    settings: Mapping[str, Any]
    scans: str
    labels: str
    breaks: Mapping[str, Break] = field(default_factory=lambda: FLAT)


def first(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


def truncated(root: Path, written: Written) -> Path:
    path = first(root, written.scans)
    path.write_bytes(path.read_bytes()[:-3])
    return path


def labels_of_another_length(root: Path, written: Written) -> Path:
    path = first(root, written.labels)
    path.write_bytes(path.read_bytes()[:-4])
    return path


def not_a_number(root: Path, written: Written) -> Path:
    path = first(root, written.scans)
    values = np.fromfile(path, "<f4")
    values[1] = np.nan
    values.tofile(path)
    return path


def missing(root: Path, written: Written) -> Path:
    shutil.rmtree(root)
    return root


FLAT = {
    "truncated scan": truncated,
    "label file of another length": labels_of_another_length,
    "not a number": not_a_number,
    "missing root": missing,
}


def short_array(root: Path, written: Written) -> Path:
    path = first(root, written.labels)
    np.save(path, np.load(path)[:-1])
    return path


def infinite(root: Path, written: Written) -> Path:
    path = first(root, written.scans)
    rows = np.load(path)
    rows[0, 2] = np.inf
    np.save(path, rows)
    return path


class _WantsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code ran",)


def pickle_with_code(root: Path, written: Written) -> Path:
    path = first(root, "splits/nuscenes_synth/training_split.pkl")
    path.write_bytes(pickle.dumps({"Town03": _WantsCode()}))
    return path


ARRAYS = {
    "truncated scan": truncated,
    "label file of another length": short_array,
    "infinite": infinite,
    "pickle that wants code": pickle_with_code,
    "missing root": missing,
}


def lacking_column(root: Path, written: Written) -> Path:
    path = first(root, written.scans)
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns([c for c in table.column_names if "return1" in c]), path)
    return path


def no_calibration(root: Path, written: Written) -> Path:
    path = first(root, "training/lidar_calibration/*.parquet")
    path.unlink()
    return path


PARQUET = {
    "truncated scan": truncated,
    "a needed column is absent": lacking_column,
    "absent calibration": no_calibration,
    "missing root": missing,
}

NUSCENES = {
    "train_scenes": 2, "train_keyframes": 1, "pretrain_scenes": 1, "pretrain_keyframes": 2,
    "val_scenes": 1, "val_keyframes": 1, "sweeps_per_keyframe": 0, "azimuths": 120,
    "image_height": 28, "image_width": 48, "max_range_m": 40.0,
}  # fmt: skip
KITTI = {
    "train_scans": 1, "val_scans": 1, "azimuths": 90, "image_height": 24, "image_width": 80,
    "max_range_m": 40.0,
}  # fmt: skip
STF = {"train_frames": 2, "val_frames": 1, "test_frames": 1, "azimuths": 60, "max_range_m": 40.0}
ONE = {"train_scans": 1, "val_scans": 1, "azimuths": 60, "max_range_m": 40.0}
POSS = {"scans": 1, "azimuths": 60, "max_range_m": 40.0}
SYNTH = {
    "train_frames": 1, "val_frames": 1, "kitti_frames": 3, "azimuths": 60, "max_range_m": 40.0,
}  # fmt: skip
WAYMO = {
    "train_segments": 1, "val_segments": 1, "frames": 2, "unlabelled": 0, "azimuths": 60,
    "side_azimuths": 12, "side_beams": 6, "image_height": 24, "image_width": 36,
    "max_range_m": 40.0,
}  # fmt: skip
DAPS = {"daps1_scans": 1, "daps2_scans": 2, "azimuths": 60, "max_range_m": 40.0}

SETS = {
    "nuscenes": Written(NUSCENES, "samples/LIDAR_TOP/*.bin", "lidarseg/*/*.bin"),
    "semantickitti": Written(KITTI, "dataset/*/*/velodyne/*.bin", "dataset/*/*/labels/*.label"),
    "semanticstf": Written(STF, "train/velodyne/*.bin", "train/labels/*.label"),
    "scribblekitti": Written(ONE, "sequences/00/velodyne/*.bin", "sequences/00/scribbles/*.label"),
    "semanticposs": Written(POSS, "sequences/00/velodyne/*.bin", "sequences/00/labels/*.label"),
    "synlidar": Written(ONE, "01/velodyne/*.bin", "01/labels/*.label"),
    "synth4d": Written(
        SYNTH, "nuscenes_synth/*/velodyne/*.npy", "nuscenes_synth/*/labels/*.npy", ARRAYS
    ),
    "waymo": Written(WAYMO, "training/lidar/*.parquet", "", PARQUET),
    "daps3d": Written(DAPS, "daps-2/data/38*/clouds/*.bin", "daps-2/data/38*/labels/*.label"),
}
BROKEN = [(name, way) for name, written in SETS.items() for way in written.breaks]


def spec_of(name: str) -> WorldSpec:
    return WorldSpec.model_validate({"seed": 3, name: SETS[name].settings})

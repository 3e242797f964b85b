"""Recordings of the built-in world as nuScenes with lidarseg on disk.

Offers `write_recording` (sensor files of one drive; run many at once) and `write_tables` (the
tables of all of them, once). The result opens in the official kit.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes.names import file_name, lidar_token
from lima_bench.datasets.nuscenes.official import write_kit_splits
from lima_bench.datasets.nuscenes.rows import RecordingTables, fixed_tables, recording_tables
from lima_bench.datasets.nuscenes.tables import LIDAR, Rows
from lima_bench.datasets.splits import write_splits
from lima_bench.datasets.world.labels import NUSCENES_RAW
from lima_bench.datasets.world.recording import LidarScan, Moment, Recording

VERSION = "v1.0-synth"
JPEG_QUALITY = 90
MAP_FILE = "maps/synth.png"

_GROWING = [
    "log",
    "scene",
    "sample",
    "lidarseg",
    "sample_data",
    "ego_pose",
    "calibrated_sensor",
    "sample_annotation",
    "instance",
]


def write_recording(recording: Recording, root: Path, *, version: str = VERSION) -> RecordingTables:
    """Write the scans, images and labels of one drive under the data root `root`.

    Intensity becomes whole numbers 0..255 and pixels become JPEG; all else is kept as it is.

    Returns:
        Its table rows, for `write_tables`.
    """
    tables = recording_tables(recording, version)
    for moment in recording.moments:
        _write_keyframe(recording, moment, root, version)
        for sweep in moment.sweeps:
            _write_scan(recording, sweep, root, is_key=False)
    return tables


def write_tables(
    tables: Iterable[RecordingTables],
    root: Path,
    *,
    pretrain: Collection[str],
    version: str = VERSION,
) -> None:
    """Write the thirteen tables, lidarseg.json, the map and ``splits.json``.

    There are two of these: ours at the root, and the official kit's beside the tables.

    Args:
        tables: What `write_recording` returned, in the order of scenes, which label shares follow.
        root: The data root.
        pretrain: Names of the train scenes on which students are pretrained.
        version: Folder of the tables.
    """
    tables = list(tables)
    merged: dict[str, Rows] = {
        name: [row for part in tables for row in part.rows[name]] for name in _GROWING
    }
    card = Card.beside(__file__)
    logs = [row["token"] for row in merged["log"]]
    merged |= fixed_tables(card, [LIDAR, *card.cameras], logs, MAP_FILE)
    for name, rows in merged.items():
        _file(root, f"{version}/{name}.json").write_text(json.dumps(rows))
    Image.new("L", (1, 1)).save(_file(root, MAP_FILE))
    write_splits(root, [(part.name, part.split) for part in tables], pretrain)
    splits = {
        split: [part.name for part in tables if part.split == split]
        for split in dict.fromkeys(part.split for part in tables)
    }
    write_kit_splits(root / version, splits, prefix="synth")


def _file(root: Path, name: str) -> Path:
    """The path of a file to write, its folder made."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_keyframe(recording: Recording, moment: Moment, root: Path, version: str) -> None:
    """The scan with its labels, and the images."""
    _write_scan(recording, moment.scan, root, is_key=True)
    name = lidar_token(recording, moment.scan.timestamp_us)
    labels = NUSCENES_RAW[moment.scan.label].astype("u1")
    _file(root, f"lidarseg/{version}/{name}_lidarseg.bin").write_bytes(labels.tobytes())
    for picture in moment.pictures:
        image = file_name(recording, picture.camera, picture.timestamp_us, is_key=True)
        Image.fromarray(picture.pixels).save(_file(root, image), quality=JPEG_QUALITY)


def _write_scan(recording: Recording, scan: LidarScan, root: Path, *, is_key: bool) -> None:
    """x, y, z, intensity 0..255, ring; float32."""
    intensity = np.rint(scan.intensity * 255)
    rows = np.column_stack([scan.points, intensity, scan.ring]).astype("<f4")
    name = file_name(recording, LIDAR, scan.timestamp_us, is_key=is_key)
    _file(root, name).write_bytes(rows.tobytes())

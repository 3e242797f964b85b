"""What a nuScenes version holds, joined once: scenes, keyframes, their files and poses.

Offers `Index`, `KeyFiles` and `open_index`. The join follows the schema: a keyframe file's channel
comes from ``calibrated_sensor -> sensor``, and each file has an ego pose of its own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes.annotations import Annotations, read_annotations
from lima_bench.datasets.nuscenes.tables import LIDAR, Row, Stamp, read_table
from lima_bench.datasets.rigid import refuse_jumps, rigid, rotation
from lima_bench.datasets.sample import Float64, Int64


@dataclass(frozen=True)
class KeyFiles:
    """The keyframe files of one version, one row each.

    Attributes:
        token: Of the sample_data row.
        filename: Relative to the data root.
        timestamp_us: (K,).
        size: (K, 2) width and height in pixels, 0 for LiDAR.
        intrinsic: (K, 3, 3), zero for LiDAR.
        sensor_to_global: (K, 4, 4) at the file's own time.
    """

    token: tuple[str, ...]
    filename: tuple[str, ...]
    timestamp_us: Int64
    size: Int64
    intrinsic: Float64
    sensor_to_global: Float64


@dataclass(frozen=True)
class Index:
    """One version of the data set.

    Attributes:
        root: The data root.
        scenes: Scene names in the order of ``scene.json``; label shares depend on that order.
        starts: (scenes + 1,) frames ``starts[i]:starts[i + 1]`` belong to scene i, in time order.
        lidar: (F,) row in `files` of each frame's LiDAR scan.
        cameras: (F, cameras of the card) row in `files`, -1 where a frame lacks that image.
        files: Every keyframe file.
        annotations: Boxes by frame; None when the version has none (the test set).
        lidarseg: LiDAR sample_data token to its label file, relative to the root; may be empty.
    """

    root: Path
    scenes: tuple[str, ...]
    starts: Int64
    lidar: Int64
    cameras: Int64
    files: KeyFiles
    annotations: Annotations | None
    lidarseg: dict[str, str]


@lru_cache(maxsize=4)
def open_index(folder: Path, stamp: Stamp, card_file: Path) -> Index:
    """The index of the version in `folder`, built once per process and `stamp` of its tables.

    Raises:
        UserError: A table is missing or broken, its classes are not the card's, a keyframe has no
            scan, or poses jump.
    """
    card = Card.read(card_file)
    lidarseg = _lidarseg(folder, card)
    scenes = read_table(folder, "scene", lambda row: (row["token"], row["name"]))
    samples, starts = _samples(folder, [token for token, _ in scenes])
    channels = (LIDAR, *card.cameras)
    files, where = _key_files(folder, channels, samples)
    rows = np.array([[where.get((s, c), -1) for c in channels] for s, _ in samples], dtype=np.int64)
    rows = rows.reshape(len(samples), len(channels))
    index = Index(
        root=folder.parent,
        scenes=tuple(name for _, name in scenes),
        starts=starts,
        lidar=rows[:, 0],
        cameras=rows[:, 1:],
        files=files,
        annotations=read_annotations(folder, [s for s, _ in samples], [t for _, t in samples]),
        lidarseg=lidarseg,
    )
    _check_drives(folder, index)
    return index


def _samples(folder: Path, scenes: list[str]) -> tuple[list[tuple[str, int]], Int64]:
    """Token and time (us) of every sample, scene after scene in time order, and scene bounds."""
    order = {token: i for i, token in enumerate(scenes)}
    rows = read_table(
        folder, "sample", lambda r: (order[r["scene_token"]], r["timestamp"], r["token"])
    )
    rows.sort()
    counts = np.bincount([scene for scene, _, _ in rows], minlength=len(scenes))
    return [(token, time) for _, time, token in rows], np.concatenate([[0], np.cumsum(counts)])


def _key_files(
    folder: Path, channels: tuple[str, ...], samples: list[tuple[str, int]]
) -> tuple[KeyFiles, dict[tuple[str, str], int]]:
    """The keyframe files of `channels`, and their row by (sample token, channel)."""
    channel_of, intrinsic_of, mount_of = _calibrations(folder, frozenset(channels))
    wanted = {token for token, _ in samples}

    def keep(row: Row) -> tuple[str, str, str, str, str, int, int, int] | None:
        calibration, sample = row["calibrated_sensor_token"], row["sample_token"]
        if not row["is_key_frame"] or calibration not in channel_of or sample not in wanted:
            return None
        return (
            row["token"], sample, calibration, row["ego_pose_token"], row["filename"],
            row["timestamp"], row["width"] or 0, row["height"] or 0,
        )  # fmt: skip

    rows = read_table(folder, "sample_data", keep)
    tokens, sample_of, calibrations, poses, names, times, widths, heights = (
        zip(*rows, strict=True) if rows else [()] * 8
    )
    ego_to_global = _ego_poses(folder, poses)
    mounts = np.array([mount_of[c] for c in calibrations]).reshape(-1, 4, 4)
    files = KeyFiles(
        token=tokens,
        filename=names,
        timestamp_us=np.array(times, dtype=np.int64),
        size=np.stack([np.array(widths, np.int64), np.array(heights, np.int64)], axis=1),
        intrinsic=np.array([intrinsic_of[c] for c in calibrations]).reshape(-1, 3, 3),
        sensor_to_global=ego_to_global @ mounts,
    )
    where = {
        (s, channel_of[c]): i for i, (s, c) in enumerate(zip(sample_of, calibrations, strict=True))
    }
    return files, where


def _calibrations(
    folder: Path, channels: frozenset[str]
) -> tuple[dict[str, str], dict[str, Float64], dict[str, Float64]]:
    """By calibrated_sensor token: channel, intrinsic (zero for LiDAR) and sensor_to_ego."""
    names = dict(read_table(folder, "sensor", lambda r: (r["token"], r["channel"])))
    rows = read_table(
        folder,
        "calibrated_sensor",
        lambda r: (r, names[r["sensor_token"]]) if names[r["sensor_token"]] in channels else None,
    )
    channel = {row["token"]: name for row, name in rows}
    intrinsic = {
        row["token"]: np.array(row["camera_intrinsic"] or np.zeros((3, 3)), dtype=np.float64)
        for row, _ in rows
    }
    mount = {row["token"]: rigid(rotation(row["rotation"]), row["translation"]) for row, _ in rows}
    return channel, intrinsic, mount


def _ego_poses(folder: Path, tokens: tuple[str, ...]) -> Float64:
    """The ego poses (K, 4, 4) called `tokens`."""
    wanted = frozenset(tokens)
    rows = read_table(
        folder,
        "ego_pose",
        lambda r: (
            (r["token"], (*r["rotation"], *r["translation"])) if r["token"] in wanted else None
        ),
    )
    place = {token: i for i, (token, _) in enumerate(rows)}
    lost = wanted - place.keys()
    if lost:
        raise UserError(
            folder / "ego_pose.json",
            f"{len(lost)} keyframe files have no ego pose, {min(lost)} first.",
            "Get the metadata archive of this version again.",
        )
    values = np.array([value for _, value in rows], dtype=np.float64).reshape(-1, 7)
    values = values[[place[token] for token in tokens]]
    return rigid(rotation(values[:, :4]), values[:, 4:])


def _lidarseg(folder: Path, card: Card) -> dict[str, str]:
    """Label files by LiDAR token, after comparing the version's class numbers with the card's.

    Raises:
        UserError: A class has another number than in the card, or the numbers are missing.
    """
    path = folder / "category.json"
    numbers = read_table(folder, "category", lambda r: (r["name"], r.get("index")))
    for name, number in numbers:
        if number is not None and card.raw_names.get(number) != name:
            raise UserError(
                path,
                f'Class {number} is "{name}" here but "{card.raw_names.get(number)}" in the card.',
                "Use the category.json of nuScenes-lidarseg, or mend the card.",
            )
    if not (folder / "lidarseg.json").is_file():
        return {}
    if any(number is None for _, number in numbers):
        raise UserError(
            path,
            "The classes carry no index, so this is the table from before lidarseg.",
            "Unpack the nuScenes-lidarseg archive over it; it replaces category.json.",
        )
    return dict(read_table(folder, "lidarseg", lambda r: (r["sample_data_token"], r["filename"])))


def _check_drives(folder: Path, index: Index) -> None:
    """Refuse frames without a scan and scenes whose poses jump."""
    lost = np.flatnonzero(index.lidar < 0)
    if lost.size:
        raise UserError(
            folder / "sample_data.json",
            f"{lost.size} of {len(index.lidar)} keyframes have no {LIDAR} scan.",
            "Get the metadata archive of this version again.",
        )
    files = index.files
    for name, (start, stop) in zip(index.scenes, pairwise(index.starts.tolist()), strict=True):
        rows = index.lidar[start:stop]
        refuse_jumps(
            f"{folder}: {name}",
            files.sensor_to_global[rows],
            files.timestamp_us[rows] * 1e-6,
            [files.filename[row] for row in rows],
        )

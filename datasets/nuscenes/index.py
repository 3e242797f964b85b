"""What a nuScenes version holds, joined once: scenes, keyframes, sweeps, their files and poses.

Offers `Index` and `open_index`. The index of a large version is kept on disk
(`lima_bench.datasets.nuscenes.index_store`) and opens in a blink from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes.annotations import Annotations, read_annotations
from lima_bench.datasets.nuscenes.files import Files, read_files
from lima_bench.datasets.nuscenes.json_rows import REMEDY
from lima_bench.datasets.nuscenes.strings import Strings
from lima_bench.datasets.nuscenes.tables import LIDAR, Stamp, read_table
from lima_bench.datasets.rigid import refuse_jumps
from lima_bench.datasets.sample import Int64

LARGE = 1 << 23
"""Bytes of tables from which on their index is kept: less is read in a tenth of a second."""


@dataclass(frozen=True)
class Index:
    """One version of the data set. Arrays may lie in a file and cannot be written to.

    Attributes:
        scenes: Scene names in the order of ``scene.json``; label shares depend on that order.
        samples: Sample token of each frame.
        starts: (scenes + 1,) frames ``starts[i]:starts[i + 1]`` belong to scene i, in time order.
        lidar: (F,) row in `files` of each frame's LiDAR scan.
        cameras: (F, cameras of the card) row in `files`, -1 where a frame lacks that image.
        sweeps: (S,) rows in `files` of every LiDAR scan, keyframes included, scene after scene in
            time order.
        sweep_starts: (scenes + 1,) scans ``sweeps[sweep_starts[i]:sweep_starts[i + 1]]`` belong to
            scene i.
        files: Every keyframe file and every LiDAR scan.
        annotations: Boxes by frame; None when the version has none (the test set).
        lidarseg: Label file of each frame, relative to the data root; empty where it has none.
    """

    scenes: Strings
    samples: Strings
    starts: Int64
    lidar: Int64
    cameras: Int64
    sweeps: Int64
    sweep_starts: Int64
    files: Files
    annotations: Annotations | None
    lidarseg: Strings


@lru_cache(maxsize=4)
def open_index(folder: Path, stamp: Stamp, card_file: Path) -> Index:
    """The index of the version in `folder`, opened once per process and `stamp` of its tables.

    Raises:
        UserError: A table is missing or broken, its classes are not the card's, a keyframe has no
            scan, or poses jump.
    """
    from lima_bench.datasets.nuscenes.index_store import kept_index

    card = Card.read(card_file)
    build = partial(build_index, folder, card)
    if sum(size for _, size, _ in stamp) < LARGE:
        return build()
    facts = {"cameras": card.cameras, "raw_names": sorted(card.raw_names.items())}
    return kept_index(folder, stamp, facts, build)


def build_index(folder: Path, card: Card) -> Index:
    """The index of the version in `folder`, from its tables."""
    labels = _lidarseg(folder, card)
    scenes = read_table(folder, "scene", lambda row: (row["token"], row["name"]))
    samples, starts = _samples(folder, [token for token, _ in scenes])
    frames = {token: frame for frame, (token, _) in enumerate(samples)}
    placed = read_files(folder, (LIDAR, *card.cameras), frames)
    files, lidar = placed.files, placed.keyframe[:, 0]
    _check_drives(folder, [name for _, name in scenes], starts, lidar, files)
    scene = np.searchsorted(starts, placed.frame_of_scan, side="right") - 1
    order = np.lexsort((files.timestamp_us[placed.scans], scene))
    return Index(
        scenes=Strings.of(name for _, name in scenes),
        samples=Strings.of(token for token, _ in samples),
        starts=starts,
        lidar=lidar,
        cameras=placed.keyframe[:, 1:],
        sweeps=placed.scans[order],
        sweep_starts=np.searchsorted(scene[order], np.arange(len(scenes) + 1)),
        files=files,
        annotations=read_annotations(folder, frames, [time for _, time in samples]),
        lidarseg=Strings.of(labels.get(files.token[row], "") for row in lidar.tolist()),
    )


def _samples(folder: Path, scenes: list[str]) -> tuple[list[tuple[str, int]], Int64]:
    """Token and time (us) of every sample, scene after scene in time order, and scene bounds."""
    order = {token: i for i, token in enumerate(scenes)}
    rows = read_table(
        folder, "sample", lambda r: (order[r["scene_token"]], r["timestamp"], r["token"])
    )
    rows.sort()
    counts = np.bincount([scene for scene, _, _ in rows], minlength=len(scenes))
    return [(token, time) for _, time, token in rows], np.concatenate([[0], np.cumsum(counts)])


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


def _check_drives(
    folder: Path, scenes: list[str], starts: Int64, lidar: Int64, files: Files
) -> None:
    """Refuse frames without a scan and scenes whose poses jump."""
    lost = np.flatnonzero(lidar < 0)
    if lost.size:
        raise UserError(
            folder / "sample_data.json",
            f"{lost.size} of {len(lidar)} keyframes have no {LIDAR} scan.",
            REMEDY,
        )
    for name, (start, stop) in zip(scenes, pairwise(starts.tolist()), strict=True):
        rows = lidar[start:stop]
        refuse_jumps(
            f"{folder}: {name}",
            files.sensor_to_global[rows],
            files.timestamp_us[rows] * 1e-6,
            [files.filename[row] for row in rows],
        )

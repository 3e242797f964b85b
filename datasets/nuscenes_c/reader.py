"""nuScenes-C, read from disk: corrupted scans and labels, with the clean set's tables.

Offers `NuScenesC`. Frames are those of nuScenes' val scenes, once for each of the 24 trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.hashing import digest
from lima_bench.datasets.card import Card
from lima_bench.datasets.corruptions.table import CORRUPTIONS
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.nuscenes.annotations import boxes_of
from lima_bench.datasets.nuscenes.index import open_index
from lima_bench.datasets.nuscenes.reader import CARD, cameras_of
from lima_bench.datasets.nuscenes.tables import read_table, stamp, versions
from lima_bench.datasets.nuscenes_c.layout import (
    FOLDER,
    SPLITS,
    label_file_of,
    scan_file,
    tables_of,
    tree,
)
from lima_bench.datasets.sample import Camera, Frame, Sample
from lima_bench.datasets.scans import read_labels, read_scan
from lima_bench.datasets.splits import FILE, known_splits, sequences_of

WHOLE = "val"
"""The split of all trees, one after the other."""


class NuScenesC:
    """Reads nuScenes-C: corrupted val keyframes with the labels that belong to them."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Frames of `split`: ``<corruption>-<level>``, or ``val`` for all 24 in order.

        Ids are ``<corruption>-<level>/<token>``, sequences ``<corruption>-<level>/<scene>``.

        Raises:
            UserError: The root, its tables, a tree or the split is missing.
        """
        if split != WHOLE and split not in SPLITS:
            raise unknown_name(root, f"{self.card.name} split", split, [*SPLITS, WHOLE])
        clean = _clean_frames(self.card, tables_of(root))
        wanted = SPLITS if split == WHOLE else {split: SPLITS[split]}
        found = []
        for name, (corruption, level) in wanted.items():
            folder = tree(root, corruption, level)
            if not folder.is_dir():
                raise _missing_tree(root, folder, split)
            found += [_of_tree(frame, name, folder) for frame in clean]
        return found

    def load(self, frame: Frame) -> Sample:
        """The corrupted scan of `frame`, its labels, and pose, boxes and images of the clean set.

        `ring` is None where the corruption writes something else there (snow: a state code).

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        handle = frame.handle
        index = open_index(handle["tables"], handle["stamp"], CARD)
        row, folder = handle["row"], handle["folder"]
        file = int(index.lidar[row])
        rows = read_scan(scan_file(folder, index.files.filename[file]), columns=5)
        labels = label_file_of(folder, handle["tables"].name, index.files.token[file])
        raw = read_labels(labels, "u1", len(rows)).astype(np.int64)
        pose = index.files.sensor_to_global[file].copy()
        home = handle["tables"].parent
        condition = frame.id.partition("/")[0]
        keeps_ring = CORRUPTIONS[SPLITS[condition][0]].keeps_ring
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            ring=rows[:, 4].astype(np.int64) if keeps_ring else None,
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
            lidar_to_global=pose,
            cameras=tuple(c for c in cameras_of(self.card, home, index, row) if _is_here(c)),
            boxes=None if index.annotations is None else boxes_of(index.annotations, row, pose),
            condition=condition,
        )

    def manifest(self, root: Path) -> str:
        """Digest of the tables, wherever they lie, of the splits, and of all files' sizes."""
        home = tables_of(root)
        tables = [table for f in versions(home).values() for table in sorted(f.glob("*.json"))]
        return digest(
            [
                manifest_digest(home, contents=[*tables, home / FILE], sizes=[]),
                manifest_digest(root, contents=[root / FILE], sizes=[root / FOLDER]),
            ]
        )


def _missing_tree(root: Path, folder: Path, split: str) -> UserError:
    """The error for a tree that is not on disk, with those that are."""
    here = [name for name, place in SPLITS.items() if tree(root, *place).is_dir()]
    choice = f", or ask for a split that is here: {', '.join(here)}" if here else ""
    return UserError(
        folder,
        f"This folder of nuScenes-C, which split {split} needs, does not exist.",
        f"Download this corruption and level, or generate it from nuScenes{choice}.",
    )


def _clean_frames(card: Card, home: Path) -> list[Frame]:
    """The val keyframes of the tables in `home`, scenes in the order of ``scene.json``."""
    folder = _version(card, home)
    tables = stamp(folder)
    index = open_index(folder, tables, CARD)
    scenes = tuple(index.scenes)
    wanted = frozenset(sequences_of(card, home, WHOLE, scenes))
    return [
        Frame(
            id=index.files.token[int(index.lidar[row])],
            sequence=scene,
            index=position,
            timestamp_s=float(index.files.timestamp_us[index.lidar[row]]) * 1e-6,
            handle={"tables": folder, "stamp": tables, "row": row},
        )
        for number, scene in enumerate(scenes)
        if scene in wanted
        for position, row in enumerate(range(*index.starts[number : number + 2].tolist()))
    ]


def _version(card: Card, home: Path) -> Path:
    """The version folder with most val scenes; the smaller one where two have as many."""
    wanted = frozenset(known_splits(card, home).get(WHOLE, ()))

    def merit(folder: Path) -> tuple[int, int]:
        names = read_table(folder, "scene", lambda row: row["name"])
        return len(wanted.intersection(names)), -len(names)

    return max(versions(home).values(), key=merit)


def _of_tree(clean: Frame, split: str, folder: Path) -> Frame:
    """A clean frame's counterpart in one tree."""
    return Frame(
        id=f"{split}/{clean.id}",
        sequence=f"{split}/{clean.sequence}",
        index=clean.index,
        timestamp_s=clean.timestamp_s,
        handle={**clean.handle, "folder": folder},
    )


def _is_here(camera: Camera) -> bool:
    """Whether the clean image lies on disk; the corrupted set has none of its own."""
    return isinstance(camera.image, Path) and camera.image.is_file()

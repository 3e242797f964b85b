"""nuScenes with lidarseg, read from disk: the full set, mini, or the world's ``v1.0-synth``.

Offers `NuScenes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.nuscenes.annotations import boxes_of, inside
from lima_bench.datasets.nuscenes.index import Index, open_index
from lima_bench.datasets.nuscenes.official import kit_split
from lima_bench.datasets.nuscenes.sweeps import sweeps_before
from lima_bench.datasets.nuscenes.tables import read_table, stamp, versions
from lima_bench.datasets.sample import Bool, Boxes, Camera, Float32, Frame, Int64, Sample, Sweep
from lima_bench.datasets.scans import read_labels, read_scan
from lima_bench.datasets.splits import FILE, known_splits, sequences_of

CARD = Path(__file__).parent / "card.yaml"

MARGIN_M = 0.1
"""Boxes are drawn tight around what is seen; a point this far outside still belongs to one."""

OBJECTS = ("human.", "vehicle.", "animal")
"""Categories of what can move by itself; a moving box never claims the road below it."""


class NuScenes:
    """Reads nuScenes: keyframes, six cameras with their own poses, lidarseg labels, boxes."""

    card = Card.read(CARD)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Keyframes of `split`: scenes in the order of ``scene.json``, in time order inside.

        Raises:
            UserError: The root, a table or the split is missing, or tables contradict each other.
        """
        folder = self._version(root, split)
        tables = stamp(folder)
        index = open_index(folder, tables, CARD)
        scenes = tuple(index.scenes)
        wanted = frozenset(sequences_of(self.card, root, split, scenes))
        handle = {"folder": folder, "stamp": tables}
        files = index.lidar.tolist()
        times_us = index.files.timestamp_us[index.lidar].tolist()
        return [
            Frame(
                id=index.files.token[files[row]],
                sequence=scene,
                index=position,
                timestamp_s=times_us[row] * 1e-6,
                handle={**handle, "row": row},
                alias=index.samples[row],
            )
            for number, scene in enumerate(scenes)
            if scene in wanted
            for position, row in enumerate(range(*index.starts[number : number + 2].tolist()))
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with labels, images and boxes.

        Labels are None without lidarseg, boxes without annotations, `moving` without attributes.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        index = open_index(frame.handle["folder"], frame.handle["stamp"], CARD)
        row: int = frame.handle["row"]
        file = int(index.lidar[row])
        root: Path = frame.handle["folder"].parent
        rows = read_scan(root / index.files.filename[file], columns=5)
        pose = index.files.sensor_to_global[file].copy()
        raw = _raw_labels(root, index.lidarseg[row], len(rows))
        boxes = None if index.annotations is None else boxes_of(index.annotations, row, pose)
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            ring=rows[:, 4].astype(np.int64),
            labels=None if raw is None else self.card.remap(raw),
            unknown_labels={} if raw is None else self.card.unknown(raw),
            lidar_to_global=pose,
            cameras=tuple(cameras_of(self.card, root, index, row)),
            boxes=boxes,
            moving=self._moving(index, rows, boxes, raw),
        )

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The `n` latest scans of the scene before `frame`, the latest first, keyframes included.

        Raises:
            UserError: A scan is missing or broken.
        """
        folder: Path = frame.handle["folder"]
        index = open_index(folder, frame.handle["stamp"], CARD)
        return sweeps_before(folder.parent, index, frame.handle["row"], n)

    def files(self, frame: Frame) -> list[Path]:
        """Scan, label file and images of `frame`, whether or not they exist."""
        index = open_index(frame.handle["folder"], frame.handle["stamp"], CARD)
        row: int = frame.handle["row"]
        root: Path = frame.handle["folder"].parent
        names = [index.files.filename[int(index.lidar[row])], index.lidarseg[row]]
        images = [root / index.files.filename[f] for f in index.cameras[row].tolist() if f >= 0]
        return [*(root / name for name in names if name), *images]

    def manifest(self, root: Path) -> str:
        """Digest of all tables, of the splits file, and of the keyframe files' names and sizes.

        Sweeps count by the tables, which name them: hundreds of thousands of files, whose arrival
        must not make stale what never reads them.
        """
        folders = list(versions(root).values())
        return manifest_digest(
            root,
            contents=[*(t for f in folders for t in sorted(f.glob("*.json"))), root / FILE],
            sizes=[root / "samples", root / "lidarseg"],
        )

    def official(self, root: Path, split: str) -> tuple[Path, str]:
        """The tables that hold `split`, and what the official kit calls it.

        Raises:
            UserError: The root, a table or the split is missing.
        """
        folder = self._version(root, split)
        names = read_table(folder, "scene", lambda row: row["name"])
        return folder, kit_split(folder, split, sequences_of(self.card, root, split, names))

    def _version(self, root: Path, split: str) -> Path:
        """The version folder that holds most scenes of `split`; the smaller one where two do."""
        found = versions(root)
        wanted = frozenset(known_splits(self.card, root).get(split, ()))

        def merit(folder: Path) -> tuple[int, int]:
            names = read_table(folder, "scene", lambda row: row["name"])
            return len(wanted.intersection(names)), -len(names)

        return max(found.values(), key=merit) if len(found) > 1 else next(iter(found.values()))

    def _moving(
        self, index: Index, points: Float32, boxes: Boxes | None, raw: Int64 | None
    ) -> Bool | None:
        """Whether each point lies in a box that moves and, where labelled, is of an object."""
        if boxes is None or index.annotations is None or not index.annotations.tells_motion:
            return None
        moving = inside(points[:, :3].astype(np.float64), boxes, boxes.moving, MARGIN_M)
        if raw is None:
            return moving
        able = np.zeros(1 << 16, dtype=bool)
        able[[i for i, name in self.card.raw_names.items() if name.startswith(OBJECTS)]] = True
        told: Bool = moving & able[raw]
        return told


def cameras_of(card: Card, root: Path, index: Index, row: int) -> Iterator[Camera]:
    """The images of frame `row` that the tables name, in the card's order."""
    files = index.files
    for name, file in zip(card.cameras, index.cameras[row].tolist(), strict=True):
        if file >= 0:
            yield Camera(
                name=name,
                id=files.token[file],
                image=root / files.filename[file],
                intrinsic=files.intrinsic[files.calibration[file]].copy(),
                camera_to_global=files.sensor_to_global[file].copy(),
                width=int(files.size[file, 0]),
                height=int(files.size[file, 1]),
            )


def _raw_labels(root: Path, name: str, n_points: int) -> Int64 | None:
    """The lidarseg ids (N,) of the label file `name`; None where the frame is not annotated."""
    return read_labels(root / name, "u1", n_points).astype(np.int64) if name else None

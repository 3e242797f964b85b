"""Waymo Open with 3-D semantic segmentation, read from disk in either of its formats.

Offers `Waymo`. The format is what lies in a split's folder: components as parquet files (release
2), or ``.tfrecord`` files (release 1, needs the extra ``waymo``). Both in one folder is an error:
nothing would tell which of two copies of a segment was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.rigid import refuse_jumps
from lima_bench.datasets.sample import Frame, Sample, Sweep
from lima_bench.datasets.splits import FILE, sequences_of
from lima_bench.datasets.waymo import records, segment_capture, segments
from lima_bench.datasets.waymo.assemble import sample_of
from lima_bench.datasets.waymo.listing import Listing
from lima_bench.datasets.waymo.names import NEEDED
from lima_bench.datasets.waymo.parquet import stamp

_EXPECTED = (
    "Expected training/lidar/<context name>.parquet and the other components beside it (release "
    "2), or training/segment-<context name>_with_camera_labels.tfrecord (release 1), in "
    "<data>/waymo; say where <data> is with --data DIR or LIMA_BENCH_DATA."
)


class Waymo:
    """Reads Waymo Open: five LiDARs with two returns, five cameras, labels of the top LiDAR.

    Points lie in the vehicle's frame at the frame's pose. `frames` gives labelled frames for
    splits that are trained or scored on, and every frame with images for `pretrain`.
    """

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Frames of `split`: segments by name or as ``splits.json`` lists them, in time order.

        Raises:
            UserError: The root, the split, its folder or a component is missing, a file is
                broken, poses jump, or the split has no frame of the kind that it needs.
        """
        homes = self._homes(root)
        names: dict[str, Mapping[str, Path]] = {
            folder.name: _contexts(folder) for folder in homes if folder.is_dir()
        }
        where = {name: path for found in names.values() for name, path in found.items()}
        folders: Mapping[str, str] = self.card.options["folders"]
        listed = {name: tuple(names.get(home, ())) for name, home in folders.items()}
        card = self.card.model_copy(update={"splits": listed})
        if split in folders and not (root / FILE).is_file() and not listed[split]:
            folder = root / folders[split]
            raise UserError(folder, "There are no segments of Waymo Open here.", _EXPECTED)
        wanted = sequences_of(card, root, split, where)
        frames = [frame for name in wanted for frame in self._of(name, where[name], split)]
        if not frames:
            kind = "images" if split in self._pictured else "point labels"
            raise UserError(
                root, f"No frame of split {split} has {kind}.", "Download that component too."
            )
        return frames

    def load(self, frame: Frame) -> Sample:
        """The points of `frame` with labels, pose and images.

        Raises:
            UserError: A file is missing or damaged, or lacks a part of the frame.
        """
        handle, options = frame.handle, self.card.options
        path: Path = handle["path"]
        wanted = options["lasers"], options["returns"]
        if handle["place"] is None:
            captured = segment_capture.capture(path, frame.sequence, handle["time_us"], *wanted)
        else:
            captured = records.capture(path, handle["place"], *wanted)
        return sample_of(captured, frame, self.card)

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The points of the `n` latest frames of the segment before `frame`, the latest first.

        Raises:
            UserError: A file is missing or damaged, or lacks a part of a frame.
        """
        path: Path = frame.handle["path"]
        listing = _listing(frame.sequence, path)
        earlier = range(frame.index - 1, max(frame.index - n, 0) - 1, -1)
        samples = [
            (i, self.load(replace(frame, handle=_handle(path, listing, i)))) for i in earlier
        ]
        return tuple(_sweep(sample, float(listing.times_us[i]) * 1e-6) for i, sample in samples)

    def files(self, frame: Frame) -> list[Path]:
        """The components' files that `frame` lies in, or its record file; existing or not."""
        path: Path = frame.handle["path"]
        if frame.handle["place"] is not None:
            return [path]
        return [segments.component_file(path, part, frame.sequence) for part in NEEDED]

    def manifest(self, root: Path) -> str:
        """Digest of the splits file, and of all files' names and sizes."""
        return manifest_digest(root, contents=[root / FILE], sizes=self._homes(root))

    @property
    def _pictured(self) -> Sequence[str]:
        """Splits that take every frame with images."""
        names: Sequence[str] = self.card.options["with_images"]
        return names

    def _homes(self, root: Path) -> list[Path]:
        """The folders of the splits.

        Raises:
            UserError: There is none of them.
        """
        homes = [root / name for name in dict.fromkeys(self.card.options["folders"].values())]
        if not any(folder.is_dir() for folder in homes):
            what = "There is no Waymo Open here." if root.is_dir() else "There is no such folder."
            raise UserError(root, what, _EXPECTED)
        return homes

    def _of(self, name: str, path: Path, split: str) -> list[Frame]:
        """The frames of one segment that belong to the split."""
        listing = _listing(name, path)
        if split in self._pictured:
            kept = listing.pictured
        elif split in self.card.options["unlabelled"]:
            kept = np.ones_like(listing.labelled)
        else:
            kept = listing.labelled
        return [
            Frame(
                id=f"{name}/{listing.times_us[i]}",
                sequence=name,
                index=i,
                timestamp_s=float(listing.times_us[i]) * 1e-6,
                handle=_handle(path, listing, i),
            )
            for i in np.flatnonzero(kept).tolist()
        ]


def _sweep(sample: Sample, timestamp_s: float) -> Sweep:
    assert sample.lidar_to_global is not None  # every frame of this format has a pose
    return Sweep(sample.points, sample.intensity, sample.lidar_to_global, timestamp_s)


def _handle(path: Path, listing: Listing, i: int) -> dict[str, Any]:
    """What `load` needs: the time in one format, the record's place in the other."""
    place = None if listing.places is None else tuple(listing.places[i].tolist())
    return {"path": path, "time_us": int(listing.times_us[i]), "place": place}


def _contexts(folder: Path) -> Mapping[str, Path]:
    """The segments of one folder, to the folder (components) or the file (records)."""
    found = {name: folder for name in segments.contexts(folder)}
    files = records.contexts(folder)
    if found and files:
        raise UserError(
            folder,
            "Both components (parquet) and .tfrecord files lie here.",
            "Move one of the two releases elsewhere.",
        )
    if not found and not files and any(folder.glob("*/*.parquet")):
        raise UserError(
            folder / "lidar",
            'The component "lidar" is missing.',
            "Download the folder lidar of the same release too.",
        )
    return found or files


def _listing(name: str, path: Path) -> Listing:
    """The frames of one segment; its poses checked."""
    if path.is_dir():
        listing, where = segments.listing(path, name), path / "vehicle_pose" / f"{name}.parquet"
    else:
        listing, where = records.cached_listing(path, stamp(path)), path
    seconds = (listing.times_us - listing.times_us[:1]) * 1e-6
    names = [f"frame {time}" for time in listing.times_us.tolist()]
    refuse_jumps(where, listing.poses, seconds, names)
    return listing

"""The public door of `lima_bench.datasets`: what a data-set plug-in imports.

A data set is a class with a `card`, a `version`, ``frames(root, split)`` and ``load(frame)``;
`register_dataset` makes it known by name. Built-in ones are listed in `DATASETS`, unloaded.
`open_dataset` gives a reader by name, or by name and card variant: ``semanticposs:val03``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from lima_bench.common.registry import Registry
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.sample import IGNORE, Boxes, Camera, Frame, Int64, Sample, Source, Sweep
from lima_bench.datasets.scans import read_labels, read_scan
from lima_bench.datasets.splits import sequences_of

__all__ = [
    "DATASETS",
    "IGNORE",
    "Boxes",
    "Camera",
    "Card",
    "Dataset",
    "FilesListed",
    "Frame",
    "OfficiallyScored",
    "PixelLabelled",
    "Sample",
    "Source",
    "Sweep",
    "Swept",
    "base_of",
    "manifest_digest",
    "open_dataset",
    "read_labels",
    "read_scan",
    "register_dataset",
    "sequences_of",
]


class Dataset(Protocol):
    """Reads one on-disk format. Instances hold at most caches; `root` says where the data lies."""

    card: Card
    version: int

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Every frame of `split`, sequences in the data set's own order, time order inside.

        Raises:
            UserError: The root or a file is missing, or there is no such split.
        """

    def load(self, frame: Frame) -> Sample:
        """Everything recorded with `frame`.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """

    def manifest(self, root: Path) -> str:
        """Digest of what lies at `root`: changes when any list, table or size changes."""


@runtime_checkable
class PixelLabelled(Protocol):
    """What a data set may offer beside `Dataset`: classes of pixels, to check pairing with points.

    A point and the pixel that sees it should mostly be of one class; where calibration or pairing
    is wrong they hardly ever are.
    """

    def pixel_labels(self, frame: Frame) -> Int64 | None:
        """The data set's own ids (H, W) of the first image of `frame`; None without annotation.

        Raises:
            UserError: The file cannot be read.
        """

    def pixel_classes(self, raw: Int64) -> Int64:
        """Those ids as train ids of the card, `IGNORE` where points have no such class."""


@runtime_checkable
class FilesListed(Protocol):
    """What a data set may offer beside `Dataset`: the files of a frame, to look for all of them.

    A set of a million files is so checked in minutes, where to load it would take days.
    """

    def files(self, frame: Frame) -> Iterable[Path]:
        """Scan, labels and images of `frame`, whether or not they exist."""


@runtime_checkable
class Swept(Protocol):
    """What a data set may offer beside `Dataset`: the scans before a frame, for denser clouds."""

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The `n` latest scans of the recording before `frame`, the latest first.

        Fewer where the recording begins. Frames that are scans themselves count as well.

        Raises:
            UserError: A file is missing or broken, or a scan has no pose.
        """


@runtime_checkable
class OfficiallyScored(Protocol):
    """What a data set may offer beside `Dataset`: where its official kit finds the truth."""

    def official(self, root: Path, split: str) -> tuple[Path, str]:
        """The folder of the tables that hold the recordings of `split`, and its name in the kit.

        Raises:
            UserError: The root is missing, or there is no such split.
        """


DATASETS: Registry[type[Dataset]] = Registry(
    "dataset",
    {
        "daps3d": "lima_bench.datasets.daps3d.reader:Daps3d",
        "nuscenes": "lima_bench.datasets.nuscenes.reader:NuScenes",
        "rellis3d": "lima_bench.datasets.rellis3d.reader:Rellis3d",
        "semantickitti": "lima_bench.datasets.semantickitti.reader:SemanticKitti",
        "semanticstf": "lima_bench.datasets.semanticstf.reader:SemanticStf",
        "nuscenes_c": "lima_bench.datasets.nuscenes_c.reader:NuScenesC",
        "semanticposs": "lima_bench.datasets.semanticposs.reader:SemanticPoss",
        "scribblekitti": "lima_bench.datasets.scribblekitti.reader:ScribbleKitti",
        "synlidar": "lima_bench.datasets.synlidar.reader:SynLidar",
        "synth4d": "lima_bench.datasets.synth4d.reader:Synth4d",
        "waymo": "lima_bench.datasets.waymo.reader:Waymo",
    },
)

D = TypeVar("D", bound=Dataset)


def open_dataset(name: str, where: str = "") -> Dataset:
    """A reader of the data set `name`, which may carry a variant of its card.

    Args:
        name: ``semanticposs``, or ``semanticposs:val03``.
        where: The place of the name in what the user wrote.

    Raises:
        UserError: There is no such data set or variant.
    """
    reader = DATASETS.get(base_of(name), where)()
    variant = name.partition(":")[2]
    if variant:
        reader.card = reader.card.variant(variant)
    return reader


def base_of(name: str) -> str:
    """The data-set id in a name that may carry a variant; the folder of its files."""
    return name.partition(":")[0]


def register_dataset(name: str, *, version: int) -> Callable[[type[D]], type[D]]:
    """Class decorator: make a data set known as `name`; raise `version` when its numbers change."""

    def register(cls: type[D]) -> type[D]:
        cls.version = version
        DATASETS.add(name, cls)
        return cls

    return register

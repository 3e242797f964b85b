"""The public door of `lima_bench.datasets`: what a data-set plug-in imports.

A data set is a class with a `card`, a `version`, ``frames(root, split)`` and ``load(frame)``;
`register_dataset` makes it known by name. Built-in ones are listed in `DATASETS`, unloaded.
`open_dataset` gives a reader by name, or by name and card variant: ``semanticposs:val03``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from lima_bench.common.registry import Registry
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Boxes, Camera, Frame, Sample, Source

__all__ = [
    "DATASETS",
    "IGNORE",
    "Boxes",
    "Camera",
    "Card",
    "Dataset",
    "Frame",
    "Sample",
    "Source",
    "open_dataset",
    "register_dataset",
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


DATASETS: Registry[type[Dataset]] = Registry(
    "dataset",
    {
        "nuscenes": "lima_bench.datasets.nuscenes.reader:NuScenes",
        "semantickitti": "lima_bench.datasets.semantickitti.reader:SemanticKitti",
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
    dataset, _, variant = name.partition(":")
    reader = DATASETS.get(dataset, where)()
    if variant:
        reader.card = reader.card.variant(variant)
    return reader


def register_dataset(name: str, *, version: int) -> Callable[[type[D]], type[D]]:
    """Class decorator: make a data set known as `name`; raise `version` when its numbers change."""

    def register(cls: type[D]) -> type[D]:
        cls.version = version
        DATASETS.add(name, cls)
        return cls

    return register

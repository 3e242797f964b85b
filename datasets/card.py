"""A data set's facts as data: licence, classes, label map, splits; read from ``card.yaml``.

Offers `Card` and `Card.beside`. The card is everything that may differ between two data sets
without a line of code: same card, same table.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import IGNORE, Int64


class Intensity(BaseModel):
    """The scale of a file's intensity column."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    minimum: float
    maximum: float
    note: str = ""


class ClassInfo(BaseModel):
    """One evaluated class: its name and the colour in which it is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    colour: tuple[int, int, int]


class Card(BaseModel):
    """Every fact of one data set.

    Attributes:
        name: The data-set id (`nuscenes`).
        title: As printed in tables.
        licence: Of the data, not of this code.
        citation: One line.
        source: Where each fact was read.
        sensor: What recorded it.
        frame_axes: Directions of the LiDAR frame's axes.
        intensity: Scale of the intensity column.
        classes: Evaluated classes by train id.
        raw_names: Raw id to name.
        labels: Raw id to train id; ids that are not listed are ignored and counted.
        moving_raw: Raw ids whose name says that the object moves (SemanticKITTI).
        cameras: Camera names in order.
        splits: Split to sequences; a name may hold one range, ``scene-{0004..0011}``. A
            ``splits.json`` at the data root replaces them (`lima_bench.datasets.splits`).
        label_shares: Convention of each share ("1%": "slidr-scene"); "default" for all others.
        metric: Variant of the metric that the data set's authors use.
        assumed: Entries that no public text settles.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str
    licence: str
    citation: str
    source: str = ""
    sensor: str
    frame_axes: str
    intensity: Intensity
    classes: tuple[ClassInfo, ...]
    ignore: Literal[255] = 255
    raw_names: dict[int, str] = {}
    labels: dict[int, int]
    moving_raw: tuple[int, ...] = ()
    cameras: tuple[str, ...] = ()
    splits: dict[str, tuple[str, ...]] = {}
    label_shares: dict[str, str] = {}
    metric: str = "strict"
    assumed: tuple[str, ...] = ()

    @field_validator("splits")
    @classmethod
    def _expand(cls, splits: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {
            split: tuple(name for entry in entries for name in _names(entry))
            for split, entries in splits.items()
        }

    @classmethod
    def beside(cls, module_file: str) -> Card:
        """The ``card.yaml`` in the folder of `module_file`."""
        return cls.read(Path(module_file).parent / "card.yaml")

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read and check a card.

        Raises:
            UserError: The file is missing or an entry is wrong.
        """
        if not path.is_file():
            raise UserError(path, "There is no card here.", "A data set needs a card.yaml.")
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()))
        except ValidationError as error:
            first = error.errors()[0]
            spot = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{path}: {spot}", first["msg"], "Mend this entry.") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by train id."""
        return tuple(info.name for info in self.classes)

    @cached_property
    def _table(self) -> Int64:
        table = np.full(1 << 16, IGNORE, dtype=np.int64)
        table[list(self.labels)] = list(self.labels.values())
        return table

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        known = np.zeros(1 << 16, dtype=bool)
        known[[*self.labels, *self.raw_names]] = True
        return known

    def remap(self, raw: npt.NDArray[np.integer[Any]]) -> Int64:
        """Raw ids (N,) to train ids (N,); everything unlisted becomes `IGNORE`."""
        ids: Int64 = self._table[raw.astype(np.int64) & 0xFFFF]
        return ids

    def unknown(self, raw: npt.NDArray[np.integer[Any]]) -> dict[int, int]:
        """Raw ids that the card does not know, with their number of points."""
        ids = raw.astype(np.int64) & 0xFFFF
        strange, counts = np.unique(ids[~self._known[ids]], return_counts=True)
        return dict(zip(strange.tolist(), counts.tolist(), strict=True))


def _names(entry: str) -> list[str]:
    """``seq{08..10}`` to ``seq08, seq09, seq10``; a name without a range to itself."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", entry)
    if not match:
        return [entry]
    before, first, last, after = match.groups()
    return [f"{before}{i:0{len(first)}}{after}" for i in range(int(first), int(last) + 1)]

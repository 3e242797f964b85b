"""A data set's facts as data: licence, classes, label map, splits; read from ``card.yaml``.

Offers `Card` and `Card.beside`. The card is everything that may differ between two data sets
without a line of code: same card, same table.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.sample import IGNORE, Int64

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe one of libyaml where PyYAML was built with it: every command reads every card."""


class Intensity(BaseModel):
    """The scale of a file's intensity column.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value; of `unit` ``tanh``, of what is usual.
        unit: How a value comes to 0..1: along the line from `minimum` to `maximum`, or as its
            hyperbolic tangent where values have no bound (Waymo).
        note: What else one should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    minimum: float
    maximum: float
    unit: Literal["linear", "tanh"] = "linear"
    note: str = ""


class ClassInfo(BaseModel):
    """One evaluated class: its name and the colour in which it is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    colour: tuple[int, int, int]


class CardVariant(BaseModel):
    """Another reading of what public text leaves open.

    Attributes:
        title: As printed in tables.
        why: Who reads it so.
        changes: Entries of the card that differ; a mapping replaces the whole mapping.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    why: str
    changes: dict[str, Any]


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
        roles: Which split serves ``pretrain``, ``train`` and ``val``, where it is not the one of
            that name.
        label_shares: Convention of each share ("1%": "slidr-scene"); "default" for all others;
            "detection" where there are boxes, for detection.
        sequence_shares: Share to the sequences that convention ``sequence`` takes for it.
        metric: Variant of the metric that the data set's authors use.
        detection: What counts as a detection, where there are boxes.
        conditions: Values of `Sample.condition`; scores are also given for each.
        options: What else the reader needs to know, by name.
        protocol: ``assumed`` where no public text tells how papers split or score the set, so that
            published numbers can only be compared with reserve.
        assumed: Entries that no public text settles.
        variants: Other readings by name; ``<id>:<variant>`` in a suite asks for one.
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
    roles: dict[str, str] = {}
    label_shares: dict[str, str] = {}
    sequence_shares: dict[str, tuple[str, ...]] = {}
    metric: str = "strict"
    detection: DetectionFacts | None = None
    conditions: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    protocol: Literal["published", "assumed"] = "published"
    assumed: tuple[str, ...] = ()
    variants: dict[str, CardVariant] = {}

    @model_validator(mode="after")
    def _whole_map(self) -> Self:
        """Every named raw id has a train id or is ignored, and every class has a raw id."""
        allowed = {*range(len(self.classes)), IGNORE}
        unmapped = sorted(set(self.raw_names) - set(self.labels))
        strange = sorted(set(self.labels.values()) - allowed)
        empty = sorted(allowed - set(self.labels.values()) - {IGNORE})
        for ids, what in (
            (unmapped, "raw ids without a train id or 255"),
            (strange, "train ids that are no class"),
            (empty, "classes without a raw id"),
        ):
            if ids:
                raise ValueError(f"labels: {what}: {ids}")
        return self

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
            UserError: The file is missing, no YAML, or an entry is wrong.
        """
        if not path.is_file():
            raise UserError(path, "There is no card here.", "A data set needs a card.yaml.")
        try:
            return cls.model_validate(_facts(path))
        except ValidationError as error:
            first = error.errors()[0]
            entry = ".".join(str(part) for part in first["loc"])
            spot = f"{path}: {entry}" if entry else path
            raise UserError(spot, first["msg"], "Mend this entry.") from error

    def variant(self, name: str) -> Card:
        """This card as its variant `name` reads it; itself if `name` is empty.

        Raises:
            UserError: There is no such variant, or it changes what a card does not have.
        """
        if not name:
            return self
        if name not in self.variants:
            raise unknown_name(f"{self.name}:{name}", "card variant", name, self.variants)
        variant = self.variants[name]
        facts = self.model_dump(exclude={"variants"}) | {"title": variant.title} | variant.changes
        try:
            return Card.model_validate(facts)
        except ValidationError as error:
            first = error.errors()[0]
            spot = ".".join(str(part) for part in first["loc"])
            where = f"{self.name} card: variants.{name}.{spot}"
            raise UserError(where, first["msg"], "Mend this entry.") from error

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


def _facts(path: Path) -> Any:
    """What the file of a card says, as it stands there.

    Raises:
        UserError: It is no YAML, or no text in UTF-8.
    """
    try:
        return yaml.load(path.read_bytes(), Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        spot = f"{path}:{mark.line + 1}" if mark else path
        problem = getattr(error, "problem", None) or getattr(error, "reason", "unreadable")
        raise UserError(spot, f"This is no YAML: {problem}.", "Mend this card.") from error


def _names(entry: str) -> list[str]:
    """``seq{08..10}`` to ``seq08, seq09, seq10``; a name without a range to itself."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", entry)
    if not match:
        return [entry]
    before, first, last, after = match.groups()
    return [f"{before}{i:0{len(first)}}{after}" for i in range(int(first), int(last) + 1)]

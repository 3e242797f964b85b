"""What suites may name, and which of it is built: the facts that planning needs, without code.

Offers `Known` and its facts (`DatasetFacts`, `Task`), `WithTimm`, and `gather`, which
collects them from the registries, plug-ins included. Light: no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.hashing import file_digest
from lima_bench.datasets.api import DATASETS, Card, Dataset, OfficiallyScored, Swept
from lima_bench.datasets.label_shares import CONVENTIONS
from lima_bench.downstream.detection.catalogue import DETECTORS as BUILT_DETECTORS
from lima_bench.lima.backbones.catalogue import BACKBONES as BUILT_BACKBONES
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.segmenters.catalogue import SEGMENTERS
from lima_bench.lima.teachers.catalogue import TEACHERS, TIMM, TeacherCard
from lima_bench.lima.teachers.files import find_weights
from lima_bench.suites.adopted import AdoptedCheckpoint
from lima_bench.suites.schema import Row

PLANNED_DATASETS = {
    "nuscenes": "nuScenes",
    "semantickitti": "SemanticKITTI",
    "waymo": "Waymo",
    "scribblekitti": "ScribbleKITTI",
    "rellis3d": "RELLIS-3D",
    "semanticposs": "SemanticPOSS",
    "semanticstf": "SemanticSTF",
    "synlidar": "SynLiDAR",
    "daps3d": "DAPS-3D",
    "synth4d": "Synth4D",
    "nuscenes_c": "nuScenes-C",
}
"""Every data set that the tables speak of, with its title; `DATASETS` holds those that are read."""

PLANNED_BACKBONES = ("spvcnn", "frnet")
"""Networks that the tables speak of and that may not be built yet."""

BACKBONES = dict.fromkeys(PLANNED_BACKBONES, False) | dict.fromkeys(BUILT_BACKBONES.names(), True)
"""Every 3D network that the tables speak of, and whether it is built."""

DETECTORS = {name: BUILT_DETECTORS.get(name).title for name in BUILT_DETECTORS.names()}
"""Everything that finds boxes, with its title."""

ADOPTED = MethodCard(name="adopted", title="adopted", needs=(), learns=False)
"""Stands for the method of an adopted checkpoint that no row says more of. Not in `METHODS`: no
suite can ask for it."""


@dataclass(frozen=True)
class DatasetFacts:
    """What planning knows of a data set.

    Attributes:
        title: As printed.
        version: Of its reader; 0 while there is none.
        label_shares: Share to the convention that the card declares for it.
        roles: Which split serves what, where the card says other than by name.
        protocol: Whether papers tell how they split and score it.
        assumed: What the card assumes.
        pictured: Whether it has cameras.
        swept: Whether scans before a frame can be read beside it.
        boxed: Whether its card says what counts as a detection, and an official kit scores it.
    """

    title: str
    version: int = 0
    label_shares: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "published"
    assumed: tuple[str, ...] = ()
    pictured: bool = True
    swept: bool = True
    boxed: bool = False

    @property
    def built(self) -> bool:
        """Whether there is a reader."""
        return self.version > 0


@dataclass(frozen=True)
class Task:
    """What a column asks.

    Attributes:
        title: As printed.
        version: Raise it when the task's numbers change on purpose; 0 while it is not built.
    """

    title: str
    version: int = 0


TASKS = {
    "linear_probe": Task("linear probing", 1),
    "finetune": Task("fine-tuning", 1),
    "detect": Task("detection", 1),
}

T = TypeVar("T")


class WithTimm(Mapping[str, T]):
    """A table of teachers that also answers for every ``timm:NAME``, once it is asked.

    Args:
        listed: What there is without timm.
        look_up: Makes the entry of a name of timm; raises `UserError` where there is none.
    """

    def __init__(self, listed: Mapping[str, T], look_up: Callable[[str], T]) -> None:
        self._listed, self._look_up = dict(listed), look_up

    def __getitem__(self, name: str) -> T:
        """The entry, looked up now if it is timm's."""
        if name not in self._listed and name.startswith(TIMM):
            self._listed[name] = self._look_up(name)
        return self._listed[name]

    def __iter__(self) -> Iterator[str]:
        """Names that were listed or asked for."""
        return iter(self._listed)

    def __len__(self) -> int:
        """How many those are."""
        return len(self._listed)


@dataclass(frozen=True)
class Known:
    """Everything that a suite may name.

    Attributes:
        methods: Id to card; a card without implementation is planned only.
        teachers: Id to card; likewise.
        weights: Teacher id to the digest of the weights that it runs with, where known.
        foreign: ``method NAME``, ``segmenter NAME`` or ``dataset NAME`` of a plug-in to the digest
            of its file.
        datasets: Id to facts; variants of a card stand beside it as ``id:variant``.
        backbones: Id to whether it is built.
        tasks: Id to facts.
        detectors: Id to title.
        conventions: Rules by which label shares are chosen.
        adopted: Checkpoints that the store has adopted, by name.
    """

    methods: Mapping[str, MethodCard]
    teachers: Mapping[str, TeacherCard]
    datasets: Mapping[str, DatasetFacts]
    weights: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    backbones: Mapping[str, bool] = field(default_factory=lambda: BACKBONES)
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    detectors: Mapping[str, str] = field(default_factory=lambda: DETECTORS)
    conventions: tuple[str, ...] = tuple(sorted(CONVENTIONS))
    adopted: Mapping[str, AdoptedCheckpoint] = field(default_factory=dict)

    def card_of(self, row: Row) -> MethodCard:
        """The card of a row's method; a stand-in for an adopted checkpoint of unknown method."""
        return self.methods[row.method] if row.method else ADOPTED

    def names(self, kind: str) -> list[str]:
        """Ids of one kind: of methods, teachers, data sets, backbones, tasks, detectors."""
        tables: dict[str, Mapping[str, object]] = {
            "method": self.methods,
            "teacher": self.teachers,
            "dataset": self.datasets,
            "backbone": self.backbones,
            "task": self.tasks,
            "detector": self.detectors,
        }
        return sorted(tables[kind])

    def fault(self, kind: str, name: str, where: str) -> UserError | None:
        """What is wrong with naming `name` at the place `where`; None where it exists."""
        if kind == "teacher" and name.startswith(TIMM):
            try:
                return None if name in self.teachers else unknown_name(where, kind, name, ())
            except UserError as error:
                return UserError(where, error.what, error.how)
        names = self.names(kind)
        return None if name in names else unknown_name(where, kind, name, names)


def gather() -> Known:
    """Everything that is registered now, plug-ins included."""
    methods = {name: METHODS.get(name) for name in METHODS.names()}
    teachers = {name: TEACHERS.get(name) for name in TEACHERS.names()}
    datasets = {name: DatasetFacts(title) for name, title in PLANNED_DATASETS.items()}
    for name in DATASETS.names():
        reader = DATASETS.get(name)
        facts = partial(_facts, reader)
        datasets[name] = facts(reader.card)
        for variant in reader.card.variants:
            datasets[f"{name}:{variant}"] = facts(reader.card.variant(variant))
    weights = {name: found for name, card in teachers.items() if (found := _weights(card))}
    return Known(
        methods=methods,
        teachers=WithTimm(teachers, TEACHERS.get),
        weights=WithTimm(weights, lambda name: _weights(TEACHERS.get(name))),
        datasets=datasets,
        foreign=_foreign(),
    )


def _facts(reader: type[Dataset], card: Card) -> DatasetFacts:
    return DatasetFacts(
        title=card.title,
        version=reader.version,
        label_shares=card.label_shares,
        roles=card.roles,
        protocol=card.protocol,
        assumed=card.assumed,
        pictured=bool(card.cameras),
        swept=issubclass(reader, Swept),
        boxed=card.detection is not None and issubclass(reader, OfficiallyScored),
    )


def _foreign() -> dict[str, str]:
    """Plug-ins are code as well: a change of theirs makes what they computed stale."""
    classes: dict[str, object] = {
        f"method {name}": METHODS.get(name).implementation for name in METHODS.names()
    }
    classes |= {f"segmenter {n}": SEGMENTERS.get(n).implementation for n in SEGMENTERS.names()}
    classes |= {f"dataset {name}": DATASETS.get(name) for name in DATASETS.names()}
    found = {}
    for name, cls in classes.items():
        module = getattr(cls, "__module__", "lima_bench.")
        file = getattr(sys.modules.get(module), "__file__", None)
        if not module.startswith("lima_bench.") and file:
            found[name] = file_digest(Path(file))
    return found


def _weights(card: TeacherCard) -> str:
    """Digest of the weights as they lie here, of the published file where they do not lie here."""
    try:
        path = find_weights(card)
        if path.name == card.file and card.sha256:
            return card.sha256  # a gigabyte is not hashed for a plan; the features stage does it
        return file_digest(path)
    except (UserError, FileNotFoundError):
        return card.sha256

"""``lima-bench list``: what there is, and what of it is built. Loads nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.optional import available
from lima_bench.lima.teachers.catalogue import TIMM
from lima_bench.suites.adopted import read_adopted
from lima_bench.suites.known import DatasetFacts, gather
from lima_bench.suites.load import builtin
from lima_bench.suites.session import load_plugs, store_folder
from lima_bench.suites.verbs.methods import method_lines, method_object
from lima_bench.suites.yaml_lines import read_document

Lines = list[tuple[str, str, str]]
"""Name, state (empty: built), title."""

LABELS = "labels"
"""What is listed of data, and so needs some: `lima_bench.suites.verbs.labels`."""

ADOPTED = "adopted"
"""What is listed of a store: outside checkpoints."""

_PLANNED = "not built yet"


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    Attributes:
        kind: One of `KINDS`, or `LABELS`; None: every kind.
        name: Of labels: the data set's id, with or without a variant of its card; None: all that
            lie there.
        data: Of labels: the data root; None: the environment's.
        profile: Of labels: the built-in world of this profile (``embedded``, ``smoke``) instead.
        store: Of labels and of what was adopted: the store's folder; None: the environment's, else
            ``runs``.
        plugs: Every ``--plug``.
        as_json: For programs.
    """

    kind: str | None = None
    name: str | None = None
    data: Path | None = None
    profile: str | None = None
    store: Path | None = None
    plugs: Collection[Path] = ()
    as_json: bool = False


def list_things(wish: Wish) -> int:
    """Print one kind, or every kind; returns the exit code.

    Raises:
        UserError: There is no such kind, or labels of what is not there are asked for.
    """
    kind = wish.kind
    if kind == LABELS:
        from lima_bench.suites.verbs.labels import list_labels

        return list_labels(wish)
    if kind is not None and kind not in (*KINDS, ADOPTED):
        raise unknown_name(f"lima-bench list {kind}", "list", kind, [*KINDS, ADOPTED, LABELS])
    if wish.name is not None:
        how = f"lima-bench list {LABELS} {wish.name}"
        raise UserError(f"lima-bench list {kind} {wish.name}", "Only labels are of a set.", how)
    load_plugs(wish.plugs)
    if kind == "methods" and not wish.as_json:
        for text in method_lines(gather().methods):
            typer.echo(text)
        return 0
    found = {name: make() for name, make in KINDS.items() if kind in (None, name)}
    if kind in (None, ADOPTED):
        found[ADOPTED] = _adopted(wish.store)
    if wish.as_json:
        typer.echo(json.dumps({name: _objects(name, lines) for name, lines in found.items()}))
        return 0
    for text in _texts(found, whole=kind is None):
        typer.echo(text)
    return 0


def _texts(found: Mapping[str, Lines], *, whole: bool) -> Iterator[str]:
    """A line per entry, below the name of its kind where every kind is listed."""
    for name, lines in found.items():
        if whole:
            yield name
        width = max((len(line[0]) for line in lines), default=0) + 2
        for entry, state, title in lines:
            note = f"   ({state})" if state else ""
            yield f"{'  ' * whole}{entry:{width}}{title}{note}"


def _objects(kind: str, lines: Lines) -> list[dict[str, Any]]:
    if kind == "methods":
        return [method_object(card) for _, card in sorted(gather().methods.items())]
    return [{"name": name, "state": state, "title": title} for name, state, title in lines]


def _files(kind: str) -> Callable[[], Lines]:
    def make() -> Lines:
        titles = {n: read_document(path).lookup(("title",)) for n, path in builtin(kind).items()}
        return [(name, "", str(title)) for name, title in titles.items()]

    return make


def _methods() -> Lines:
    cards = gather().methods
    return [
        (name, "" if card.is_built else _PLANNED, f"{card.title}, {card.venue}".rstrip(", "))
        for name, card in sorted(cards.items())
    ]


def _teachers() -> Lines:
    cards = gather().teachers
    built = [
        (name, "" if card.implementation else _PLANNED, f"{card.title}, stride {card.stride}")
        for name, card in sorted(cards.items())
    ]
    return [*built, (f"{TIMM}NAME", "" if available("timm") else "needs timm", "any model of timm")]


def _datasets() -> Lines:
    facts = gather().datasets
    return [(name, _standing(fact), fact.title) for name, fact in sorted(facts.items())]


def _standing(fact: DatasetFacts) -> str:
    if not fact.built:
        return _PLANNED
    return "protocol assumed" if fact.protocol == "assumed" else ""


def _backbones() -> Lines:
    built = gather().backbones
    return [(name, "" if there else _PLANNED, "") for name, there in sorted(built.items())]


def _adopted(store: Path | None) -> Lines:
    entries = read_adopted(store_folder(store)).values()
    return [(entry.name, "", f"{entry.file.backbone}, {entry.origin}") for entry in entries]


def _tasks() -> Lines:
    tasks = gather().tasks
    return [(n, "" if task.version else _PLANNED, task.title) for n, task in sorted(tasks.items())]


def _detectors() -> Lines:
    return [(name, "", title) for name, title in sorted(gather().detectors.items())]


KINDS: Mapping[str, Callable[[], Lines]] = {
    "suites": _files("suite"),
    "profiles": _files("profile"),
    "recipes": _files("recipe"),
    "methods": _methods,
    "teachers": _teachers,
    "datasets": _datasets,
    "backbones": _backbones,
    "tasks": _tasks,
    "detectors": _detectors,
}

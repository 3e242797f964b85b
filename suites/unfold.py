"""Turns matrices into rows: ``matrix: {teacher: [a, b]}`` with ``id: "{teacher}"`` is two rows.

Offers `Unfolded` and `unfold`. Pure. Every field remembers the place in the file that it came
from, so that a fault in one row of a matrix points at one entry of a list.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.yaml_lines import Document, Place

_OWN = frozenset({"matrix", "by_method"})


@dataclass(frozen=True)
class Unfolded:
    """One row or column as written, matrix gone.

    Attributes:
        values: Field to value.
        sources: Field to where it stands.
        place: Where the whole entry stands.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, Place]
    place: Place


def unfold(document: Document, part: str) -> tuple[list[Unfolded], list[UserError]]:
    """Every row (``part="rows"``) or column of a suite, and what is wrong with its matrices."""
    entries = document.lookup((part,))
    if not isinstance(entries, list):
        return [], []
    unfolded: list[Unfolded] = []
    errors: list[UserError] = []
    for number, entry in enumerate(entries):
        place: Place = (part, number)
        if not isinstance(entry, dict):
            errors.append(UserError(document.where(place), "A mapping is needed here."))
            continue
        try:
            unfolded += _unfold_entry(entry, place, document)
        except UserError as error:
            errors.append(error)
    return unfolded, errors


def _unfold_entry(entry: Mapping[str, Any], place: Place, document: Document) -> list[Unfolded]:
    plain = {name: value for name, value in entry.items() if name not in _OWN}
    results = []
    for choice in _choices(entry, place, document):
        values = {**plain, **{name: value for name, (value, _) in choice.items()}}
        sources: dict[str, Place] = {name: (*place, name) for name in plain}
        sources |= {name: source for name, (_, source) in choice.items()}
        _pick_by_method(entry, place, values, sources, document)
        if "matrix" in entry:
            values["id"] = _fill(values.get("id"), values, (*place, "id"), document)
            if isinstance(title := values.get("title"), str):
                values["title"] = _fill(title, values, (*place, "title"), document)
        results.append(Unfolded(values, sources, place))
    return results


def _choices(
    entry: Mapping[str, Any], place: Place, document: Document
) -> Iterator[dict[str, tuple[Any, Place]]]:
    """Every combination of the matrix; the last axis runs fastest. One empty one without it."""
    matrix = entry.get("matrix", {})
    if not isinstance(matrix, dict):
        what = "A matrix is a mapping of fields to lists."
        raise UserError(document.where((*place, "matrix")), what, "matrix: {teacher: [a, b]}")
    axes = []
    for name, options in matrix.items():
        where: Place = (*place, "matrix", name)
        if not isinstance(options, list) or not options:
            raise UserError(document.where(where), "A list of values is needed here.", "[a, b]")
        if name in entry:
            what = f"{name} stands in the matrix and beside it."
            raise UserError(document.where(where, key=True), what, "Keep one of the two.")
        axes.append([(name, option, (*where, i)) for i, option in enumerate(options)])
    for combination in itertools.product(*axes):
        yield {name: (option, source) for name, option, source in combination}


def _pick_by_method(
    entry: Mapping[str, Any],
    place: Place,
    values: dict[str, Any],
    sources: dict[str, Place],
    document: Document,
) -> None:
    tables = entry.get("by_method", {})
    example = "by_method: {frames: {lima: 6}}"
    if not isinstance(tables, dict):
        at = document.where((*place, "by_method"))
        raise UserError(at, "A mapping of fields to mappings.", example)
    for name, table in tables.items():
        where: Place = (*place, "by_method", name)
        if not isinstance(table, dict):
            raise UserError(document.where(where), "A mapping of methods to values.", example)
        if name in values:
            what = f"{name} stands in by_method and beside it."
            raise UserError(document.where(where, key=True), what, "Keep one of the two.")
        if values.get("method") in table:
            values[name] = table[values["method"]]
            sources[name] = (*where, str(values["method"]))


def _fill(template: Any, values: Mapping[str, Any], place: Place, document: Document) -> str:
    """``"{method}-{teacher}"`` with the row's values in it; fields only, no expressions."""
    if not isinstance(template, str):
        how = 'id: "{method}-{teacher}"'
        raise UserError(document.where(place), "A matrix needs an id made of its fields.", how)
    text, *pieces = template.split("{")
    for piece in pieces:
        name, closed, rest = piece.partition("}")
        if not closed:
            raise UserError(document.where(place), 'A "{" is not closed.', 'id: "{method}"')
        if name not in values:
            raise unknown_name(document.where(place), "field", name, values)
        text += f"{values[name]}{rest}"
    return text

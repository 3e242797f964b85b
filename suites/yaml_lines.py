"""Reads YAML safely and remembers where every entry stood, so that errors can point at it.

Offers `Document`, `read_document`, `parse_document`, `parse_value` and `spell` (a place in words).
Words and numbers are those of YAML 1.2: ``on`` and ``off`` are words, ``1e-3`` is a number.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lima_bench.common.errors import UserError

Place = tuple[str | int, ...]
"""The way from the top of a document to an entry: keys and list positions."""

_REDEFINED = ("bool", "float", "timestamp")


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, in which a column's ``on`` and a setting's ``off`` are booleans."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":")[-1] not in _REDEFINED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), list("tfTF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9]+[eE][-+]?[0-9]+$"
    ),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Document:
    """A YAML file: plain values, and the line and column of each.

    Attributes:
        name: How messages call the file.
        data: Mappings, lists and scalars.
        keys: Place to (line, column) of its key, from 1.
        values: Place to (line, column) of its value, from 1.
    """

    name: str
    data: Any
    keys: dict[Place, tuple[int, int]] = field(default_factory=dict)
    values: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def where(self, place: Place, *, key: bool = False) -> str:
        """``file:line:column  path``, of the nearest entry that is in the file."""
        marks = self.keys if key else self.values
        found = place
        while found and found not in marks:
            found = found[:-1]
            marks = self.values
        line, column = marks.get(found, (1, 1))
        return f"{self.name}:{line}:{column}  {spell(place)}".rstrip()

    def lookup(self, place: Place) -> Any:
        """The value at `place`, None where there is none."""
        value = self.data
        for step in place:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def spell(place: Place) -> str:
    """``rows[3].method[2]``; the word ``matrix`` is left out, for rows are read without it."""
    text = ""
    for step in place:
        if step == "matrix":
            continue
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A scalar as it would stand in JSON, after an equals sign; nothing for lists and mappings."""
    if value is None or isinstance(value, (dict, list, tuple)):
        return ""
    try:
        return f" = {json.dumps(value)}"
    except TypeError:  # a date
        return f" = {value}"


def read_document(path: Path) -> Document:
    """Read the YAML file at `path`.

    Raises:
        UserError: It is missing, no text, or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(path, "There is no such file.", "Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"This file cannot be read: {error}.", "It must be text.") from error
    return parse_document(text, name=_short(path))


def parse_document(text: str, *, name: str) -> Document:
    """Parse YAML; aliases and repeated keys are refused, nothing in it is executed.

    Raises:
        UserError: It is no YAML, or holds what a suite may not.
    """
    document = Document(name, None)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                raise _refused(document, event.start_mark, "Aliases (*name) are not allowed here.")
        root = yaml.compose(text, Loader=_Loader)
        loader = _Loader("")
        data = None if root is None else _build(root, (), document, loader)
    except yaml.MarkedYAMLError as error:
        raise _broken(document, error) from error
    except yaml.YAMLError as error:
        raise UserError(name, f"This is no YAML: {error}.", "Mend the file.") from error
    return Document(name, data, document.keys, document.values)


def parse_value(text: str) -> Any:
    """A single value, such as that of a ``--set``.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return yaml.load(text, Loader=_Loader)


def _build(node: yaml.Node, place: Place, document: Document, loader: _Loader) -> Any:
    document.values[place] = _mark(node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*place, i), document, loader) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _refused(document, key_node.start_mark, "A key must be a plain word.")
        key = str(key_node.value)
        if key in mapping:
            raise _refused(document, key_node.start_mark, f'The key "{key}" stands twice.')
        document.keys[(*place, key)] = _mark(key_node.start_mark)
        mapping[key] = _build(value_node, (*place, key), document, loader)
    return mapping


def _mark(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _refused(document: Document, mark: Any, what: str) -> UserError:
    line, column = _mark(mark)
    return UserError(f"{document.name}:{line}:{column}", what, "Write it out, once.")


def _broken(document: Document, error: yaml.MarkedYAMLError) -> UserError:
    line, column = _mark(error.problem_mark) if error.problem_mark else (1, 1)
    what = f"This is no YAML: {error.problem}."
    return UserError(f"{document.name}:{line}:{column}", what, "Mend this line.")


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""A file on its way to a checked model: values may still be set, and every fault knows its place.

Offers `Draft` (`Draft.of_suite` unfolds matrices), `combined` (many errors as one) and `merged`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lima_bench.common.errors import UserError, nearest
from lima_bench.suites.unfold import unfold
from lima_bench.suites.yaml_lines import Document, Place, shown

M = TypeVar("M", bound=BaseModel)


@dataclass
class Draft:
    """The content of one file while it may still change.

    Attributes:
        document: The file.
        data: Its values; of a suite, matrices unfolded.
        sources: Place in `data` to the place in the file, where the two differ.
        overridden: Place in `data` to the ``--set`` that wrote it.
        errors: What was already found wrong.
    """

    document: Document
    data: dict[str, Any]
    sources: dict[Place, Place] = field(default_factory=dict)
    overridden: dict[Place, str] = field(default_factory=dict)
    errors: list[UserError] = field(default_factory=list)

    @classmethod
    def of(cls, document: Document) -> Draft:
        """A draft of any file.

        Raises:
            UserError: The file is no mapping.
        """
        if not isinstance(document.data, dict):
            what = "The file must be a mapping: key: value."
            raise UserError(document.where(()), what, "Compare it with a built-in one.")
        return cls(document, copy.deepcopy(document.data))

    @classmethod
    def of_suite(cls, document: Document) -> Draft:
        """A draft of a suite: every row and column of its own."""
        draft = cls.of(document)
        for part in ("rows", "columns"):
            if part not in draft.data:
                continue
            entries, errors = unfold(document, part)
            draft.errors += errors
            draft.data[part] = [dict(entry.values) for entry in entries]
            for number, entry in enumerate(entries):
                draft.sources[(part, number)] = entry.place
                for name, source in entry.sources.items():
                    draft.sources[(part, number, name)] = source
        return draft

    def value(self, place: Place) -> Any:
        """The value at `place`, None where there is none."""
        return Document("", self.data).lookup(place)

    def where(self, place: Place, *, key: bool = False) -> str:
        """Where the value at `place` was written: ``file:line:column  path``, or the ``--set``."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.overridden:
                return f"--set {self.overridden[place[:length]]}"
        for length in range(len(place), 0, -1):
            if place[:length] in self.sources:
                place = (*self.sources[place[:length]], *place[length:])
                break
        return self.document.where(place, key=key)

    def quoted(self, place: Place) -> str:
        """`where`, with the value; a ``--set`` holds it already."""
        where = self.where(place)
        return where if where.startswith("--set") else where + shown(self.value(place))

    def set(self, place: Place, value: Any, text: str) -> None:
        """Write `value` at `place`, with mappings on the way; `text` is the ``--set``."""
        target: Any = self.data
        for depth, step in enumerate(place[:-1], start=1):
            if isinstance(target, dict) and target.get(step) is None:
                target[step] = {}
                self.overridden[place[:depth]] = text
            target = target[step]
        target[place[-1]] = value
        self.overridden[place] = text

    def checked(self, model: type[M]) -> M | None:
        """The model, or None with the faults added to `errors`."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            self.errors += self.faults(model, error.errors(), ())
            return None

    def faults(
        self, model: type[BaseModel], details: Sequence[ErrorDetails], at: Place
    ) -> list[UserError]:
        """Pydantic's findings below the place `at` as errors that say where and how to go on."""
        return [self._fault(model, detail, at) for detail in details if not _echo(detail, details)]

    def _fault(self, model: type[BaseModel], detail: ErrorDetails, at: Place) -> UserError:
        loc = tuple(step for step in detail["loc"] if step != "[key]")
        place: Place = (*at, *loc)
        if detail["type"] == "extra_forbidden":
            name, known = str(loc[-1]), _keys(model, loc[:-1])
            guess = nearest(name, known)
            what = f'There is no key "{name}" here.' + (
                f' Did you mean "{guess}"?' if guess else ""
            )
            return UserError(self.where(place, key=True), what, f"Known: {', '.join(known)}")
        if detail["type"] == "missing" and isinstance(loc[-1], int):
            what = f"Value {loc[-1] + 1} of this list is missing."
            return UserError(self.quoted(place[:-1]), what)
        if detail["type"] == "missing":
            how = f"Add {loc[-1]}: …"
            return UserError(self.where(place[:-1]), f'The key "{loc[-1]}" is missing.', how)
        what = detail["msg"].removeprefix("Value error, ")
        return UserError(self.quoted(place), _sentence(what))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` over it, key by key.

    A ``length`` is replaced whole, and so is a segmenter by another one: what was set of the old
    says nothing of the new.
    """
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            whole = name == "length" or _another(old, value)
            value = value if whole else merged(old, value)
        result[name] = value
    return result


def _another(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "segmenter" in new and new["segmenter"] != old.get("segmenter")


def combined(errors: Iterable[UserError]) -> UserError:
    """Many errors as one that prints them all: each fault once, file by file from top to bottom."""
    unique = {str(error): error for error in errors}.values()
    *others, last = sorted(unique, key=_position)
    return UserError("\n".join([*map(str, others), last.where]), last.what, last.how)


def _position(error: UserError) -> tuple[str, int, int]:
    found = re.match(r"(.*?):(\d+):(\d+)", error.where)
    return (found[1], int(found[2]), int(found[3])) if found else ("", 0, 0)


def _echo(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because its entries are wrong."""
    place = detail["loc"]
    inside = (d["loc"] for d in details if d["loc"] != place)
    return detail["type"] == "too_short" and any(loc[: len(place)] == place for loc in inside)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names that may stand at `loc` below `model`."""
    found: type[BaseModel] = model
    for step in loc:
        if isinstance(step, int) or step not in _named(found):
            continue
        inner = _model_in(_named(found)[step])
        if inner is not None:
            found = inner
    return sorted(_named(found))


def _named(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings block inside ``Block | None``, ``tuple[Block, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    inner = (_model_in(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)

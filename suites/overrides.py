"""``--set key=value``: changes one entry of a suite, of its profile or of its recipes.

Offers `Override`, `apply_files` and `apply_recipes`. The first word of a key says what it changes:
``rows.GLOB.field``, ``columns.GLOB.field``, ``defaults``, ``table`` and ``check`` the suite,
``profile.field`` the profile, and a kind of recipe (``pretrain``, ``centerpoint``) the settings of
every recipe of that kind.
Pure; everything is checked afterwards, like the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

import yaml

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.drafts import Draft
from lima_bench.suites.recipe import RECIPE_MODELS
from lima_bench.suites.yaml_lines import Place, parse_value

_EXAMPLE = "--set pretrain.length.steps=300, --set 'rows.lima*.settings.radius_m=0.3'"
_SUITE = ("defaults", "table", "check", "title")
_RECIPES = tuple(RECIPE_MODELS)
_ROOTS = ("rows", "columns", "profile", *_SUITE, *_RECIPES)


@dataclass(frozen=True)
class Override:
    """One ``--set``.

    Attributes:
        text: As given.
        path: The words of the key.
        value: Read as YAML.
    """

    text: str
    path: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``a.b.c=value``.

        Raises:
            UserError: It has another form, or begins with an unknown word.
        """
        where = f"--set {text}"
        key, equals, value = text.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise UserError(where, "This is not of the form key=value.", _EXAMPLE)
        if path[0] not in _ROOTS:
            raise unknown_name(where, "first word", path[0], _ROOTS)
        if len(path) < (3 if path[0] in ("rows", "columns") else 1 + (path[0] != "title")):
            raise UserError(where, "The key ends too early.", _EXAMPLE)
        try:
            return cls(text, path, parse_value(value))
        except yaml.YAMLError as error:
            raise UserError(where, f"The value is no YAML: {error}.", _EXAMPLE) from error


def apply_files(overrides: Iterable[Override], suite: Draft, profile: Draft) -> None:
    """Write what concerns the suite and the profile into their drafts, in order.

    Raises:
        UserError: A glob fits no row or column, or a place holds no mapping.
    """
    for override in overrides:
        root = override.path[0]
        try:
            if root in ("rows", "columns"):
                _set_entries(suite, override)
            elif root == "profile":
                profile.set(override.path[1:], override.value, override.text)
            elif root in _SUITE:
                suite.set(override.path, override.value, override.text)
        except (TypeError, KeyError, IndexError) as error:
            what = "On this way stands a value that has no entries of its own."
            raise UserError(f"--set {override.text}", what, _EXAMPLE) from error


def _set_entries(suite: Draft, override: Override) -> None:
    part, glob, *rest = override.path
    entries = suite.data.get(part) or []
    names = [str(entry.get("id")) for entry in entries]
    chosen = [i for i, name in enumerate(names) if fnmatchcase(name, glob)]
    if not chosen:
        raise unknown_name(f"--set {override.text}", part.removesuffix("s"), glob, names)
    for number in chosen:
        place: Place = (part, number, *rest)
        suite.set(place, override.value, override.text)


def apply_recipes(overrides: Iterable[Override], recipes: Mapping[str, Draft]) -> None:
    """Add what concerns recipes as their last rule, without conditions: it wins over all others."""
    for override in overrides:
        kind, *rest = override.path
        settings: Any = override.value
        for step in reversed(rest):
            settings = {step: settings}
        for recipe in recipes.values():
            rules = recipe.data.get("when") or []
            if kind in _RECIPES and recipe.data.get("kind") == kind and isinstance(rules, list):
                recipe.data["when"] = [*rules, {"settings": settings}]
                recipe.overridden[("when", len(rules))] = override.text

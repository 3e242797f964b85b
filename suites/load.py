"""Finds and reads a suite with its profile and recipes; reports every fault of them at once.

Offers `load`, its result `Loaded`, `find` and `builtin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites import names, overrides
from lima_bench.suites.drafts import Draft, combined
from lima_bench.suites.known import Known
from lima_bench.suites.overrides import Override
from lima_bench.suites.profile_schema import Profile
from lima_bench.suites.recipe import Recipe, read_recipe
from lima_bench.suites.schema import Suite
from lima_bench.suites.yaml_lines import read_document

_HERE = Path(__file__).parent
_FOLDERS = {"suite": _HERE, "profile": _HERE / "profiles", "recipe": _HERE / "recipes"}


@dataclass(frozen=True)
class Loaded:
    """A suite in one profile, checked.

    Attributes:
        suite: Rows and columns, those of other variants included.
        profile: Sizes and roots.
        recipes: By name, all that the profile's sets name.
    """

    suite: Suite
    profile: Profile
    recipes: dict[str, Recipe]


def builtin(kind: str) -> dict[str, Path]:
    """Names and files of the built-in suites, profiles or recipes."""
    return {path.stem: path for path in sorted(_FOLDERS[kind].glob("*.yaml"))}


def load(suite: str, profile: str, known: Known, sets: Iterable[str] = ()) -> Loaded:
    """Read and check everything that `suite` in `profile` consists of.

    Args:
        suite: A built-in name or the path of a YAML file.
        profile: Likewise.
        known: What may be named.
        sets: ``key=value`` of every ``--set``, in order.

    Raises:
        UserError: Every fault that was found, each with its place.
    """
    changes = [Override.parse(text) for text in sets]
    suite_draft = Draft.of_suite(read_document(find("suite", suite)))
    profile_file = find("profile", profile)
    profile_draft = Draft.of(read_document(profile_file))
    overrides.apply_files(changes, suite_draft, profile_draft)
    checked_profile = profile_draft.checked(Profile)
    recipe_drafts = _recipe_drafts(profile_draft, profile_file)
    overrides.apply_recipes(changes, recipe_drafts)
    recipes = {name: read_recipe(draft) for name, draft in recipe_drafts.items()}
    checked_suite = suite_draft.checked(Suite)
    names.check_suite(suite_draft, profile_draft, known)
    names.check_profile(profile_draft, recipes, known)
    errors = [*suite_draft.errors, *profile_draft.errors]
    errors += [error for draft in recipe_drafts.values() for error in draft.errors]
    if errors or checked_suite is None or checked_profile is None:
        raise combined(errors)
    return Loaded(
        checked_suite, checked_profile, {name: found for name, found in recipes.items() if found}
    )


def find(kind: str, name: str, *, beside: Path | None = None, where: str = "") -> Path:
    """The file of a built-in thing, or of a path (relative to `beside`, else to where we are).

    Raises:
        UserError: There is neither.
    """
    known = builtin(kind)
    if name in known:
        return known[name]
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = (beside or Path()) / name
        if path.is_file():
            return path
        raise UserError(where or path, f"There is no file {path}.", "Check the path.")
    raise unknown_name(where or f"{kind} {name}", kind, name, known)


def _recipe_drafts(profile: Draft, file: Path) -> dict[str, Draft]:
    """Drafts of every recipe that the profile's sets name; faults go to the profile."""
    drafts: dict[str, Draft] = {}
    sets = profile.data.get("recipes")
    for set_name, entries in sets.items() if isinstance(sets, dict) else ():
        for kind, name in entries.items() if isinstance(entries, dict) else ():
            if name in drafts or not isinstance(name, str):
                continue
            where = profile.quoted(("recipes", set_name, kind))
            try:
                path = find("recipe", name, beside=file.parent, where=where)
                drafts[name] = Draft.of(read_document(path))
            except UserError as error:
                profile.errors.append(error)
    return drafts

"""Looks up every name in a suite and a profile: methods, teachers, data sets, tasks, recipes.

Offers `check_suite` and `check_profile`; both add to the draft's errors. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.world.spec import SPECS, WorldSpec
from lima_bench.lima.methods.card import MethodCard
from lima_bench.results.units import UNITS
from lima_bench.suites.drafts import Draft, merged
from lima_bench.suites.known import Known
from lima_bench.suites.measures import find_measure, measure_names
from lima_bench.suites.profile_schema import RecipeSet
from lima_bench.suites.recipe import Recipe
from lima_bench.suites.yaml_lines import Place

_ROW = {
    "method": "method",
    "teacher": "teacher",
    "student": "backbone",
    "detector": "detector",
    "pretrain_on": "dataset",
}
_COLUMN = {"task": "task", "on": "dataset", "corrupted": "dataset"}


def check_suite(draft: Draft, profile: Draft, known: Known) -> None:
    """Names, unique ids and method settings of a suite."""
    sets = profile.data.get("recipes")
    set_names = list(sets) if isinstance(sets, dict) else []
    for part, table in (("rows", _ROW), ("columns", _COLUMN)):
        entries = draft.data.get(part)
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            _check_entry(draft, (part, number), entry, table, known)
            if part == "rows":
                if entry.get("variant") in (None, profile.data.get("variant")):
                    _check_one(draft, (part, number, "recipes"), "recipe set", set_names)
                _check_method(draft, (part, number), entry, known)
            if part == "columns":
                _check_convention(draft, (part, number, "labels"), known)
                _check_measure(draft, (part, number), entry)
        _check_unique(draft, part)
    defaults = draft.data.get("defaults")
    if isinstance(defaults, dict):
        _check_entry(draft, ("defaults",), defaults, _ROW, known)
        _check_one(draft, ("defaults", "recipes"), "recipe set", set_names)
    _check_by_method(draft, known)


def check_profile(draft: Draft, recipes: Mapping[str, Recipe | None], known: Known) -> None:
    """Names in a profile, and that each recipe is of the kind that its place asks for."""
    _check_known(draft, ("teacher",), "teacher", known)
    _check_world(draft)
    splits = draft.data.get("splits")
    for name in splits if isinstance(splits, dict) else ():
        if name not in known.datasets:
            where = draft.where(("splits", name), key=True)
            draft.errors.append(unknown_name(where, "dataset", name, known.datasets))
    sets = draft.data.get("recipes")
    for set_name, entries in sets.items() if isinstance(sets, dict) else ():
        for kind in RecipeSet.model_fields:
            recipe = recipes.get(str(entries.get(kind))) if isinstance(entries, dict) else None
            if recipe is not None and recipe.kind != kind:
                place: Place = ("recipes", set_name, kind)
                what = f"This recipe is for {recipe.kind}, not for {kind}."
                draft.errors.append(UserError(draft.quoted(place), what, "lima-bench list recipes"))


def _check_entry(
    draft: Draft, place: Place, entry: Mapping[str, Any], table: Mapping[str, str], known: Known
) -> None:
    for name, kind in table.items():
        value = entry.get(name)
        if isinstance(value, list):
            for number in range(len(value)):
                _check_known(draft, (*place, name, number), kind, known)
        elif name in entry:
            _check_known(draft, (*place, name), kind, known)


def _check_known(draft: Draft, place: Place, kind: str, known: Known) -> None:
    value = draft.value(place)
    error = known.fault(kind, value, draft.quoted(place)) if isinstance(value, str) else None
    if error is not None:
        listing = f"   (lima-bench list {kind}s)" if kind in ("method", "dataset") else ""
        draft.errors.append(UserError(error.where, error.what, error.how + listing))


def _check_one(draft: Draft, place: Place, kind: str, names: Iterable[str]) -> None:
    value = draft.value(place)
    if isinstance(value, str) and value not in names:
        draft.errors.append(unknown_name(draft.quoted(place), kind, value, names))


def _check_convention(draft: Draft, place: Place, known: Known) -> None:
    labels = draft.value(place)
    convention = labels.partition("@")[2] if isinstance(labels, str) else ""
    if convention and convention not in known.conventions:
        kind = "label-share convention"
        draft.errors.append(unknown_name(draft.quoted(place), kind, convention, known.conventions))


def _check_measure(draft: Draft, place: Place, entry: Mapping[str, Any]) -> None:
    """A measure that there is, printed in a unit of its own kind."""
    name, unit = entry.get("measure"), entry.get("unit", "auto")
    if not isinstance(name, str):
        if name is None and unit != "auto":
            what = "Only a measure has a unit; scores are percent."
            draft.errors.append(UserError(draft.quoted((*place, "unit")), what, "Leave it out."))
        return
    where = draft.quoted((*place, "measure"))
    try:
        measure = find_measure(name)
    except KeyError:
        error = unknown_name(where, "measure", name, measure_names())
        others = "; a number that the method returns: pretrain.scores.NAME"
        draft.errors.append(UserError(error.where, error.what, error.how + others))
        return
    units = ["auto", *(UNITS[measure.quantity] if measure and measure.quantity else ())]
    if isinstance(unit, str) and unit not in units:
        where = draft.quoted((*place, "unit"))
        draft.errors.append(unknown_name(where, f"unit of {name}", unit, units))


def _check_world(draft: Draft) -> None:
    """The world that a profile renders, and the settings that it changes."""
    name, settings = draft.value(("data", "world")), draft.value(("data", "settings"))
    if isinstance(name, str) and name not in SPECS:
        where = draft.quoted(("data", "world"))
        draft.errors.append(unknown_name(where, "world", name, SPECS))
    elif isinstance(name, str) and isinstance(settings, dict):
        try:
            WorldSpec.model_validate(merged(SPECS[name].model_dump(mode="json"), settings))
        except ValidationError as error:
            draft.errors += draft.faults(WorldSpec, error.errors(), ("data", "settings"))


def _check_method(draft: Draft, place: Place, entry: Mapping[str, Any], known: Known) -> None:
    """The settings that a row gives its method, and how many frames it shows it."""
    card = known.methods.get(str(entry.get("method")))
    settings = entry.get("settings", {})
    if card is None or not card.is_built or not isinstance(settings, dict):
        return
    try:
        checked = card.settings.model_validate(settings)
    except ValidationError as error:
        draft.errors += draft.faults(card.settings, error.errors(), (*place, "settings"))
        return
    frames = entry.get("frames")
    if not isinstance(frames, int) or frames < 1:
        return  # not given, or reported as no number of frames at all
    where = draft.quoted((*place, "frames"))
    if "frames" not in card.settings.model_fields:
        if frames != card.frames:
            what = f"The number of frames of {card.title} is fixed: {card.frames}."
            draft.errors.append(UserError(where, what, "Leave frames out."))
    elif "frames" in settings and checked.model_dump()["frames"] != frames:
        draft.errors.append(UserError(where, "settings.frames says another number.", "Keep one."))
    else:
        _check_frames(draft, place, card, {**settings, "frames": frames})


def _check_frames(
    draft: Draft, place: Place, card: MethodCard, settings: Mapping[str, Any]
) -> None:
    """Whether the method takes as many frames as its row says."""
    try:
        card.settings.model_validate(settings)
    except ValidationError as error:
        draft.errors += draft.faults(card.settings, error.errors(), place)


def _check_unique(draft: Draft, part: str) -> None:
    seen: set[str] = set()
    entries = draft.data.get(part)
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get("id")
        if name in seen:
            where = draft.quoted((part, number, "id"))
            what = f'Two {part} are called "{name}".'
            draft.errors.append(UserError(where, what, "Give each an id of its own."))
        seen.add(name)


def _check_by_method(draft: Draft, known: Known) -> None:
    """A mistyped method in ``by_method`` would otherwise just never apply."""
    entries = draft.document.lookup(("rows",))
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        tables = entry.get("by_method") if isinstance(entry, dict) else None
        for name, table in tables.items() if isinstance(tables, dict) else ():
            for method in table if isinstance(table, dict) else ():
                if method not in known.methods:
                    place = ("rows", number, "by_method", name, method)
                    where = draft.document.where(place, key=True)
                    draft.errors.append(unknown_name(where, "method", method, known.methods))

"""A checked recipe, and its settings for one label share, data set and method.

Offers `Recipe`, `read_recipe` (draft to recipe) and `RECIPE_MODELS`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import base_of
from lima_bench.downstream.detection.catalogue import DETECTORS
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.lima.recipes import PretrainRecipe, StudentSettings
from lima_bench.suites.drafts import Draft, merged
from lima_bench.suites.profile_schema import RecipeFile, Rule
from lima_bench.suites.yaml_lines import Place

RECIPE_MODELS: dict[str, type[BaseModel]] = {
    "student": StudentSettings,
    "pretrain": PretrainRecipe,
    "linear_probe": DownstreamRecipe,
    "finetune": DownstreamRecipe,
    **{name: DETECTORS.get(name).recipe for name in DETECTORS.names()},
}
"""The settings class of every kind of recipe: those that a `RecipeSet` has."""


@dataclass(frozen=True)
class Recipe:
    """A recipe file that holds.

    Attributes:
        name: Its name.
        kind: What it sets.
        settings: Without rules.
        rules: In order; later ones win.
        assumed: Dotted settings that no source states.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    rules: tuple[Rule, ...] = ()
    assumed: frozenset[str] = frozenset()

    def resolved(
        self,
        *,
        labels: str | None = None,
        on: str | None = None,
        method: str | None = None,
        student: str | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Every setting, defaults included, as JSON values.

        Args:
            labels: The column's label share.
            on: Its data set.
            method: The row's method.
            student: The backbone; a student's recipe knows its own.
            changes: Merged over everything.
        """
        given = {"labels": labels, "on": on, "method": method}
        if self.kind == "student":
            student = self._settings(given, changes).get("backbone")
        settings = self._settings(given | {"student": student}, changes)
        return RECIPE_MODELS[self.kind].model_validate(settings).model_dump(mode="json")

    def _settings(
        self, given: Mapping[str, str | None], changes: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Settings after the rules that hold."""
        settings: Mapping[str, Any] = self.settings
        for rule in self.rules:
            if _rule_holds(rule, given):
                settings = merged(settings, rule.settings)
        return merged(settings, changes or {})


def read_recipe(draft: Draft) -> Recipe | None:
    """The recipe in a draft, or None with the faults added to ``draft.errors``."""
    file = draft.checked(RecipeFile)
    if file is None:
        return None
    before = len(draft.errors)
    _check_settings(draft, file, file.settings, ("settings",))
    for number, rule in enumerate(file.when):
        both = merged(file.settings, rule.settings)
        _check_settings(draft, file, both, ("when", number, "settings"))
    if len(draft.errors) > before:
        return None
    _check_assumed(draft, file)
    return Recipe(file.name, file.kind, file.settings, file.when, frozenset(file.assumed))


def _rule_holds(rule: Rule, given: Mapping[str, str | None]) -> bool:
    on = given["on"]
    return (
        rule.labels in (None, given["labels"])
        and rule.on in (None, on, on and base_of(on))
        and (rule.method is None or given["method"] in rule.method)
        and (rule.student is None or given.get("student") in rule.student)
    )


def _check_settings(draft: Draft, file: RecipeFile, settings: Mapping[str, Any], at: Place) -> None:
    """Validate `settings`; faults that stand outside `at` were reported with the base."""
    try:
        RECIPE_MODELS[file.kind].model_validate(settings)
    except ValidationError as error:
        details = error.errors()
        own = draft.value(at)
        mine = [d for d in details if at == ("settings",) or not d["loc"] or d["loc"][0] in own]
        draft.errors += draft.faults(RECIPE_MODELS[file.kind], mine, at)


def _check_assumed(draft: Draft, file: RecipeFile) -> None:
    whole = RECIPE_MODELS[file.kind].model_validate(file.settings).model_dump(mode="json")
    for name in file.assumed:
        value: Any = whole
        for step in name.split("."):
            if not isinstance(value, dict) or step not in value:
                where = draft.where(("assumed", name), key=True)
                what = f'A recipe of kind {file.kind} has no setting "{name}".'
                draft.errors.append(UserError(where, what, "Write it as in settings: schedule.div"))
                break
            value = value[step]

"""Detectors by name: each has a recipe of its own, and a head that can be made and asked."""

from __future__ import annotations

import pytest
import torch

from lima_bench.downstream.detection.catalogue import DETECTORS, card_of
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.settings import published_anchors
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima.recipes import Length

GRID = MapGrid((-4.0, -4.0), (1.0, 1.0), (8, 8))
ANCHORS = dict(zip(("car", "person", "cone"), published_anchors().values(), strict=False))


def recipe_of(name: str) -> DetectRecipe:
    own = {"head": {"anchors": ANCHORS}} if name == "second" else {}
    groups = (("car",), ("person", "cone"))
    return DETECTORS.get(name).recipe(length=Length(steps=1), groups=groups, **own)


@pytest.mark.parametrize("name", DETECTORS.names())
def test_a_card_makes_a_head(name: str, facts) -> None:
    recipe = recipe_of(name)
    card = card_of(recipe)
    assert card.name == name and card.title
    head = card.load()(16, recipe, facts, GRID)
    maps = head(torch.zeros(2, 16, 8, 8))
    assert len(maps) == 2
    assert len(head.eval().decode(maps)) == 2


def test_no_two_share_a_recipe_and_none_is_without() -> None:
    recipes = [DETECTORS.get(name).recipe for name in DETECTORS.names()]
    assert len(set(recipes)) == len(recipes)
    with pytest.raises(TypeError, match="of no detector"):
        card_of(DetectRecipe(length=Length(steps=1)))

"""The detectors there are, without their code: what `lima-bench list detectors` shows.

Offers `DetectorCard`, `DETECTORS` and `card_of`. Light: no torch until a head is made.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from lima_bench.common.registry import Registry
from lima_bench.downstream.detection.centerpoint.settings import CenterPointRecipe
from lima_bench.downstream.detection.second.settings import SecondRecipe
from lima_bench.downstream.detection.settings import DetectRecipe

if TYPE_CHECKING:
    from torch import nn

    from lima_bench.datasets.detection_facts import DetectionFacts
    from lima_bench.downstream.detection.head import MapGrid


class HeadMaker(Protocol):
    """A class of heads; what it makes is a `lima_bench.downstream.detection.head.Head`."""

    def __call__(
        self, in_channels: int, recipe: DetectRecipe, facts: DetectionFacts, grid: MapGrid
    ) -> nn.Module:
        """A head with first weights, for features of so many channels on this map."""


@dataclass(frozen=True)
class DetectorCard:
    """What is known of a detector before its code is loaded.

    Attributes:
        name: As rows call it; the kind of its recipes, and their place in a profile's sets.
        title: As the papers print it.
        recipe: Class of its recipes' settings, its own alone.
        head: ``"module:class"`` of its `HeadMaker`.
    """

    name: str
    title: str
    recipe: type[DetectRecipe]
    head: str

    def load(self) -> HeadMaker:
        """The class of its head, imported now."""
        module, name = self.head.split(":")
        return cast(HeadMaker, getattr(importlib.import_module(module), name))


_HERE = "lima_bench.downstream.detection"
DETECTORS: Registry[DetectorCard] = Registry("detector")
for _card in (
    DetectorCard(
        "centerpoint", "CenterPoint", CenterPointRecipe, f"{_HERE}.centerpoint.head:CenterPointHead"
    ),
    DetectorCard("second", "SECOND", SecondRecipe, f"{_HERE}.second.head:SecondHead"),
):
    DETECTORS.add(_card.name, _card)


def card_of(recipe: DetectRecipe) -> DetectorCard:
    """The detector that a recipe is of.

    Raises:
        TypeError: There is none with this class of settings.
    """
    for name in DETECTORS.names():
        if DETECTORS.get(name).recipe is type(recipe):
            return DETECTORS.get(name)
    raise TypeError(f"{type(recipe).__name__} is the recipe of no detector")

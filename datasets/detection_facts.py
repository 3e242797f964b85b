"""What a data set's card says of its boxes: which classes a detector learns, and how they count.

Offers `DetectionFacts` and `BoxClass`. Light: pydantic only.
"""

from __future__ import annotations

from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class BoxClass(BaseModel):
    """One class of objects that detectors find.

    Attributes:
        name: As the metric calls it.
        categories: Annotated categories that belong to it.
        range_m: Objects farther from the ego vehicle in x-y do not count.
        moving: Attribute that a prediction gets above the card's speed; empty where it has none.
        still: Attribute below it.
        errors: True-positive errors that the metric asks of it: of ``trans scale orient vel attr``.
        half_turn: Whether front and back look alike, so that headings count up to 180 degrees.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    categories: tuple[str, ...]
    range_m: float
    moving: str = ""
    still: str = ""
    errors: tuple[str, ...] = ("trans", "scale", "orient", "vel", "attr")
    half_turn: bool = False


class DetectionFacts(BaseModel):
    """Every fact about boxes of one data set.

    Attributes:
        metric: Configuration of the official metric.
        classes: In the order of the metric; a box's label is its row here.
        moving_mps: A prediction faster than this gets the attribute of a moving object.
        racks: Categories around which bicycles do not count.
        racked: Names of the classes that do not count there.
        most_boxes: Predictions of one frame that the metric takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: str
    classes: tuple[BoxClass, ...]
    moving_mps: float = 0.2
    racks: tuple[str, ...] = ()
    racked: tuple[str, ...] = ()
    most_boxes: int = 500

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        categories = [name for one in self.classes for name in one.categories]
        if len(set(categories)) < len(categories) or len(set(self.names)) < len(self.names):
            raise ValueError("a class or category is there twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by label."""
        return tuple(one.name for one in self.classes)

    @cached_property
    def label_of(self) -> dict[str, int]:
        """Annotated category to label; other categories are no class."""
        return {name: i for i, one in enumerate(self.classes) for name in one.categories}

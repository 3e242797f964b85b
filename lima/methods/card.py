"""What is known of a method before its code is loaded: `MethodCard`. Light: no torch.

Each built-in method has a module in `lima_bench.lima.methods.cards` that holds its frozen settings
and its card; `lima_bench.lima.methods.catalogue` puts them in order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import Field, model_validator

from lima_bench.lima.recipes import Settings

Fraction = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]

Need = Literal["features", "superpixels", "clusters", "sweeps", "survey"]
Segments = Literal["slic", "semantic", "instances"]
Clusters = Literal["", "segments", "pseudo_instances"]
OrderKind = Literal["shuffled", "streams"]


class CardFacts(TypedDict, total=False):
    """What `MethodCard` says of a method beside its name, version, code and settings."""

    title: str
    venue: str
    needs: tuple[Need, ...]
    segments: Segments
    clusters: Clusters
    frames: int
    order: OrderKind
    heads_2d: str
    reconstruction: bool
    note: str


class NoSettings(Settings):
    """A method that has nothing to set."""


class MethodCard(Settings):
    """What is known of a method before its code is loaded.

    Attributes:
        name: The method id.
        title: As the papers print it.
        venue: Where it was published.
        version: Raise it when the method's numbers change on purpose.
        implementation: ``"module:Class"`` of a built-in method, the class of a plug-in, or empty
            while the method is not built.
        settings: Its frozen settings class.
        needs: What it reads beside scans: cached ``features`` of a teacher, cached image
            ``superpixels``, cached 3D ``clusters``, LiDAR ``sweeps`` between keyframes, now and
            then a ``survey`` of the data set (`lima_bench.lima.survey`).
        segments: Which superpixels: ``slic``, ``semantic`` masks or class-agnostic ``instances``.
        clusters: Which 3D clusters.
        frames: How many frames it sees, the current one included, unless its settings say so.
        order: ``shuffled`` scans, or ``streams`` that walk one scene each in time, unless its
            settings say so (`lima_bench.lima.order`).
        learns: Whether there is a loss; without one the initial weights are the result.
        heads_2d: What is learnt on the image side, in words; empty for nothing.
        reconstruction: Whether its paper's text could not be read.
        note: What readers of its numbers must know, such as what stands in for what.
    """

    name: str
    title: str
    venue: str = ""
    version: int = 1
    implementation: str | type[Any] = ""
    settings: type[Settings] = NoSettings
    needs: tuple[Need, ...] = ("features",)
    segments: Segments = "slic"
    clusters: Clusters = ""
    frames: int = 1
    order: OrderKind = "shuffled"
    learns: bool = True
    heads_2d: str = ""
    reconstruction: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _clusters_are_named(self) -> Self:
        if ("clusters" in self.needs) != bool(self.clusters):
            raise ValueError("a method that needs clusters says which, and no other does")
        return self

    @property
    def is_built(self) -> bool:
        """Whether there is code to run."""
        return self.implementation != ""

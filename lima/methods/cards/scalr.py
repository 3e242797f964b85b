"""ScaLR: settings and card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.cards.distance import Distance
from lima_bench.lima.recipes import Settings


class ScalrSettings(Settings):
    """ScaLR with a MinkUNet student; see `lima_bench.lima.methods.scalr`.

    Attributes:
        cameras: Supervise from all cameras, or from one drawn per scan (the original).
        student_input: Show the full sweep, or only points that the cameras see (the original).
        distance: Of unit vectors; see `lima_bench.lima.losses`.
        hidden: Width of a hidden layer (ReLU) of the head; 0 for none. ScaLR+ has 2048.
    """

    cameras: Literal["all", "one"] = "all"
    student_input: Literal["full", "visible"] = "full"
    distance: Distance = "l2norm"
    hidden: Annotated[int, Field(ge=0)] = 0


CARD = MethodCard(
    name="scalr",
    title="ScaLR",
    venue="CVPR'24",
    version=2,
    implementation="lima_bench.lima.methods.scalr:Scalr",
    settings=ScalrSettings,
)

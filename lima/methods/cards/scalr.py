"""ScaLR: settings and card."""

from __future__ import annotations

from typing import Literal

from lima_bench.lima.methods.card import Count, MethodCard
from lima_bench.lima.methods.cards.distance import Distance
from lima_bench.lima.recipes import Settings


class ScalrSettings(Settings):
    """ScaLR with a MinkUNet student; see `lima_bench.lima.methods.scalr`.

    Attributes:
        cameras: Supervise from all cameras, or from one drawn per scan (the original).
        student_input: Show the full sweep, or only points that the cameras see (the original).
        distance: Of unit vectors; see `lima_bench.lima.losses`.
        head: ``linear``, or ``mlp``: one hidden layer with ReLU (ScaLR+, the authors' branch
            ``scalr_plus``).
        head_width: Of the hidden layer.
    """

    cameras: Literal["all", "one"] = "all"
    student_input: Literal["full", "visible"] = "full"
    distance: Distance = "l2norm"
    head: Literal["linear", "mlp"] = "linear"
    head_width: Count = 2048


CARD = MethodCard(
    name="scalr",
    title="ScaLR",
    venue="CVPR'24",
    version=2,
    implementation="lima_bench.lima.methods.scalr:Scalr",
    settings=ScalrSettings,
)

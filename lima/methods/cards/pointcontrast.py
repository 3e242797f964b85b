"""PointContrast: settings and card."""

from __future__ import annotations

from typing import Literal

from lima_bench.lima.methods.card import Count, MethodCard, Positive
from lima_bench.lima.recipes import Settings


class PointcontrastSettings(Settings):
    """PointContrast, ECCV 2020, outdoors; see `lima_bench.lima.methods.pointcontrast`.

    Attributes:
        loss: ``infonce``, or ``hardest``: each pair against its hardest negative.
        width: Of the space in which points are compared; the tables' rows, assumed.
        radius_cells: Two points of registered scans are the same place within so many cell edges:
            0.1 m with cells of 0.1 m; set 2 for VoxelNet's 0.2 m. Assumed.
        temperature: ``infonce``; the original has 0.4 indoors, assumed.
        pairs: ``infonce``: pairs of a step, on each device.
        positives: ``hardest``: pairs per frame of the step.
        negatives: ``hardest``: candidates per frame of the step and side.
        positive_margin: ``hardest``: squared distance that is near enough.
        negative_margin: ``hardest``: distance that is far enough.
    """

    loss: Literal["infonce", "hardest"] = "infonce"
    width: Count = 64
    radius_cells: Positive = 1.0
    temperature: Positive = 0.07
    pairs: Count = 4096
    positives: Count = 1024
    negatives: Count = 256
    positive_margin: Positive = 0.1
    negative_margin: Positive = 1.4


CARD = MethodCard(
    name="pointcontrast",
    title="PointContrast",
    venue="ECCV'20",
    implementation="lima_bench.lima.methods.pointcontrast:Pointcontrast",
    settings=PointcontrastSettings,
    needs=(),
    frames=2,
    note="outdoors: how the tables' rows were adapted is not public, values are assumed",
)

"""CenterPoint's recipe: head, targets, losses and decoding, as data. Light: no torch.

Offers `CenterPointRecipe` and `CenterPointSettings`. Defaults are those of mmdetection3d 1.4.0
(detection 3). Where published code does something else than it says, the default is what it says,
and a switch named in the docstring brings its behaviour back (detection 2.3).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lima_bench.downstream.detection.settings import Count, DetectRecipe, NmsSettings, Share
from lima_bench.lima.settings import Settings


class CenterPointSettings(Settings):
    """CenterPoint's head, targets, losses and decoding.

    Attributes:
        shared: Channels of the convolution that all branches read.
        branch: Channels inside each branch.
        min_overlap: Of a box with one that is off by the gaussian's radius.
        min_radius: Smallest radius, cells.
        radius: ``cornernet``: the roots over 2, as all published code has them, so that
            `min_radius` decides for ordinary classes; ``exact``: the largest radius that keeps
            `min_overlap` (over 2a, and the smaller root where two are positive).
        most_objects: Per group and frame.
        off_map: Objects whose centre lies outside the map: ``skip`` (mmdetection3d) or ``clamp``
            (OpenPCDet).
        heatmap_bias: First bias of the heat maps; None leaves torch's own, as mmdetection3d does
            against its own intention.
        box_weight: Of the L1 loss.
        velocity_weight: Within it, of the two velocities.
        light: Whose weight that is: ``velocity``, or ``rotation`` as in OpenPCDet, whose order of
            targets differs from that of the list it took over.
        best: Peaks per class, and then per group.
        score: Boxes below are dropped.
        centre_m: Boxes whose centre lies outside plus and minus this are dropped; x, y, z.
        nms: Inside each group, classes alike.
    """

    shared: Count = 64
    branch: Count = 64
    min_overlap: Annotated[float, Field(gt=0, lt=1)] = 0.1
    min_radius: Annotated[int, Field(ge=0)] = 2
    radius: Literal["cornernet", "exact"] = "cornernet"
    most_objects: Count = 500
    off_map: Literal["skip", "clamp"] = "skip"
    heatmap_bias: float | None = -2.19
    box_weight: float = 0.25
    velocity_weight: float = 0.2
    light: Literal["velocity", "rotation"] = "velocity"
    best: Count = 500
    score: Share = 0.1
    centre_m: tuple[float, float, float] = (61.2, 61.2, 10.0)
    nms: NmsSettings = NmsSettings()


class CenterPointRecipe(DetectRecipe):
    """Training and asking a CenterPoint.

    Attributes:
        head: Its head.
    """

    head: CenterPointSettings = CenterPointSettings()

    @model_validator(mode="after")
    def _one_threshold_each(self) -> Self:
        nms = self.head.nms
        if nms.kind == "circle" and len(nms.squared_m) != len(self.groups):
            raise ValueError("circle NMS needs one squared_m for each group of classes")
        return self

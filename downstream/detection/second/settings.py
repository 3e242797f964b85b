"""SECOND's recipe: anchors, assignment, losses and decoding, as data. Light: no torch.

Offers `SecondRecipe`, `SecondSettings`, `AnchorSettings`, `published_anchors`. Defaults are
OpenPCDet's, tools/cfgs/nuscenes_models/cbgs_second_multihead.yaml (detection 4). Where published
code does something else than it says, the default is what it says, and a switch named in the
docstring brings its behaviour back (detection 2.3).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lima_bench.downstream.detection.settings import Count, DetectRecipe, NmsSettings, Share
from lima_bench.lima.settings import Settings


class AnchorSettings(Settings):
    """The anchor of one class.

    Attributes:
        size: Length, width, height, metres.
        bottom_m: Height of its lower face in the LiDAR frame.
        positive: Overlap from which an anchor learns an object.
        negative: Overlap below which it is background; between the two it learns nothing.
    """

    size: tuple[float, float, float]
    bottom_m: float
    positive: float
    negative: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 < self.negative <= self.positive <= 1:
            raise ValueError("overlaps: 0 < negative <= positive <= 1")
        return self


_PUBLISHED = {
    "car": ((4.63, 1.97, 1.74), -0.95, 0.60, 0.45),
    "truck": ((6.93, 2.51, 2.84), -0.60, 0.55, 0.40),
    "construction_vehicle": ((6.37, 2.85, 3.19), -0.225, 0.50, 0.35),
    "bus": ((10.5, 2.94, 3.47), -0.085, 0.55, 0.40),
    "trailer": ((12.29, 2.90, 3.87), 0.115, 0.50, 0.35),
    "barrier": ((0.50, 2.53, 0.98), -1.33, 0.55, 0.40),
    "motorcycle": ((2.11, 0.77, 1.47), -1.085, 0.50, 0.30),
    "bicycle": ((1.70, 0.60, 1.28), -1.18, 0.50, 0.35),
    "pedestrian": ((0.73, 0.67, 1.77), -0.935, 0.60, 0.40),
    "traffic_cone": ((0.41, 0.41, 1.07), -1.285, 0.60, 0.40),
}


def published_anchors() -> dict[str, AnchorSettings]:
    """One anchor per class of nuScenes."""
    return {
        name: AnchorSettings(size=size, bottom_m=bottom, positive=positive, negative=negative)
        for name, (size, bottom, positive, negative) in _PUBLISHED.items()
    }


class SecondSettings(Settings):
    """SECOND's multi-head: anchors, assignment, losses and decoding.

    Attributes:
        shared: Channels of the convolution that all groups read.
        branch: Channels inside each branch.
        anchors: By class: size, height of the bottom, overlaps that make an anchor learn.
        rotations: Of every anchor, radians.
        anchor_grid: ``spread``: from border to border, both included (OpenPCDet's
            ``align_center: False``); ``centred``: in the middle of each cell.
        branches: ``own``: each branch regresses the quantity that it is named after, for every
            anchor; ``mixed``: the outputs of all branches are laid side by side and cut by anchor
            (OpenPCDet's anchor_head_multi.py), so that names and quantities differ. It matters only
            to weights that were trained so.
        prior: Probability that the classification starts from.
        alpha: Of the focal loss.
        gamma: Of the focal loss.
        background_weight: Of negatives beside positives.
        box_weight: Of the L1 loss.
        velocity_weight: Within it, of the two velocities.
        score: Boxes below are dropped.
        nms: For each class by itself.
    """

    shared: Count = 64
    branch: Count = 64
    anchors: dict[str, AnchorSettings] = Field(default_factory=published_anchors)
    rotations: tuple[float, ...] = (0.0, 1.57)
    anchor_grid: Literal["spread", "centred"] = "spread"
    branches: Literal["own", "mixed"] = "own"
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.01
    alpha: float = 0.25
    gamma: float = 2.0
    background_weight: float = 2.0
    box_weight: float = 0.25
    velocity_weight: float = 0.2
    score: Share = 0.1
    nms: NmsSettings = NmsSettings()

    @model_validator(mode="after")
    def _rotated(self) -> Self:
        if self.nms.kind != "rotated":
            raise ValueError("SECOND thins out by overlap: nms.kind is rotated")
        return self


class SecondRecipe(DetectRecipe):
    """Training and asking a SECOND.

    Attributes:
        head: Its head.
    """

    head: SecondSettings = SecondSettings()

    @model_validator(mode="after")
    def _anchors_for_all(self) -> Self:
        lost = [name for group in self.groups for name in group if name not in self.head.anchors]
        if lost:
            raise ValueError(f"there are no anchors for {', '.join(lost)}")
        return self

"""Anchors of SECOND by class, as published. Light: no torch.

Offers `AnchorSettings` and `published_anchors`. Source: OpenPCDet
tools/cfgs/nuscenes_models/cbgs_second_multihead.yaml (detection 4).
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

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

"""How a detector is taught and asked, whatever its head, as data. Light: no torch.

Offers `DetectRecipe`, the base of every detector's own kind of recipe, and the blocks that these
share. Defaults are the published ones (detection 3, 4).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lima_bench.downstream.recipes import ScoredSettings
from lima_bench.lima.settings import Settings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]

Groups = tuple[tuple[str, ...], ...]
"""Classes that share a branch of the head."""

SIX_GROUPS: Groups = (
    ("car",),
    ("truck", "construction_vehicle"),
    ("bus", "trailer"),
    ("barrier",),
    ("motorcycle", "bicycle"),
    ("pedestrian", "traffic_cone"),
)

PUBLISHED_MOMENTUM = 0.01
"""Of BatchNorm, for runs of tens of thousands of steps; recipes of short ones say another."""


class BevSettings(Settings):
    """The 2D network between encoder and head: two blocks and what brings them to one size.

    Attributes:
        widths: Channels of the two blocks.
        layers: Convolutions of each beside its first.
        neck: Channels that each block contributes to the head's input.
    """

    widths: tuple[Count, Count] = (128, 256)
    layers: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (5, 5)
    neck: Count = 256


class NmsSettings(Settings):
    """How boxes that say the same are thinned out.

    Attributes:
        kind: ``rotated``: by overlap in the bird's-eye view; ``circle``: by centre distance.
        iou: rotated: a box goes if a better one overlaps it more than this.
        squared_m: circle: by group of classes, the **squared** distance below which a box goes, as
            mmdetection3d compares it; its list 4, 12, 10, 1, 0.85, 0.175 is in square metres.
        before: Best boxes that are looked at.
        after: Boxes that are kept.
    """

    kind: Literal["rotated", "circle"] = "rotated"
    iou: Share = 0.2
    squared_m: tuple[float, ...] = (4.0, 12.0, 10.0, 1.0, 0.85, 0.175)
    before: Count = 1000
    after: Count = 83


class ObjectSampling(Settings):
    """Objects of other frames that are pasted into a training frame.

    Attributes:
        counts: By class, up to how many objects a frame is filled.
        min_points: LiDAR points that an object must have to be kept for this.
    """

    counts: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "car": 2,
            "truck": 3,
            "construction_vehicle": 7,
            "bus": 4,
            "trailer": 6,
            "barrier": 2,
            "motorcycle": 6,
            "bicycle": 6,
            "pedestrian": 2,
            "traffic_cone": 2,
        }
    )
    min_points: Annotated[int, Field(ge=1)] = 5


class DetectRecipe(ScoredSettings):
    """Settings of a detection run, whatever its head.

    Attributes:
        bn_momentum: Of the 2D network, of SECOND's shared layer, and of an encoder that takes one.
        sweeps: Scans before a keyframe that are added to it (mmdetection3d 9, OpenPCDet 9).
        sweep_choice: ``latest``; or ``random``, without replacement among the last ten: training
            only, since a score must not depend on chance.
        near_m: Points of sweeps this near in both x and y belong to the ego vehicle.
        time_lag: Whether the age of every point, seconds, is a further input.
        max_cells: Occupied cells per frame, in training and in scoring.
        spare_layers: Empty layers above the grid; one makes the 41 of published detectors, and two
            layers of the map where pretraining has one.
        groups: Classes by branch of the head.
        bev: The 2D network.
        balanced: CBGS: frames are drawn so that every class has an equal share of an epoch.
        sampling: Pasting of objects; None pastes nothing.
    """

    bn_momentum: float = PUBLISHED_MOMENTUM
    sweeps: Annotated[int, Field(ge=0)] = 9
    sweep_choice: Literal["latest", "random"] = "latest"
    near_m: Annotated[float, Field(ge=0)] = 1.0
    time_lag: bool = True
    max_cells: tuple[Count, Count] = (90_000, 120_000)
    spare_layers: Annotated[int, Field(ge=0)] = 1
    groups: Groups = SIX_GROUPS
    bev: BevSettings = BevSettings()
    balanced: bool = True
    sampling: ObjectSampling | None = ObjectSampling()

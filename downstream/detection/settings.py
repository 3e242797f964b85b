"""How a detector is made, taught and asked, as data. Light: no torch.

Offers `CenterPointRecipe` and `SecondRecipe` (kinds of recipe files), their base `DetectRecipe`,
`DETECTORS`, and the blocks they are made of. Defaults are the published ones: mmdetection3d 1.4.0
for CenterPoint (detection 3), OpenPCDet's multi-head configuration for SECOND (detection 4). Where
the published code does something else than it says, the default is what it says, and a switch named
in the docstring brings its behaviour back (detection 2.3).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lima_bench.downstream.detection.second.anchor_sizes import AnchorSettings, published_anchors
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


DETECTORS: dict[str, type[DetectRecipe]] = {
    "centerpoint": CenterPointRecipe,
    "second": SecondRecipe,
}
"""Every detector, by the id that suites use, with the settings class of its recipes."""

TITLES = {"centerpoint": "CenterPoint", "second": "SECOND"}
"""As printed."""

"""How training is done, as data: the settings a suite's recipe files may hold.

Offers `Augmentation`, `ImageAugmentation`, `Length`, `TrainSettings`, `MaskSource`,
`ClusterSettings` and `PretrainRecipe`, and hands on those of the student and of the optimiser.
Light: no torch.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from lima_bench.common.errors import UserError
from lima_bench.lima.optimiser_settings import Optimiser, Schedule
from lima_bench.lima.settings import Settings
from lima_bench.lima.student_settings import (
    GridBounds,
    InputSettings,
    StudentSettings,
    VoxelSettings,
)

__all__ = [
    "Augmentation",
    "ClusterSettings",
    "GridBounds",
    "GroundSettings",
    "ImageAugmentation",
    "InputSettings",
    "InstanceSettings",
    "Length",
    "MaskSource",
    "Optimiser",
    "PretrainRecipe",
    "Schedule",
    "SegmentSettings",
    "Settings",
    "StudentSettings",
    "TrainSettings",
    "VoxelSettings",
]


Count = Annotated[int, Field(ge=1)]


class Augmentation(Settings):
    """Random motions of the student's copy of the cloud, applied after pairing.

    A cloud is rotated, moved, scaled and mirrored; then, in pretraining, a cuboid is cut out of it.

    Attributes:
        rotation_deg: Rotation about z, uniform in plus or minus this.
        flip_probability: For x and for y, independently.
        flips: ``each`` axis by itself, or ``one_of`` the two: ScaLR mirrors two clouds of three, by
            x or by y (probability 1/3 each); `flip_probability` then does not count.
        scale: Uniform range of the scale factor.
        translation_m: Standard deviation of a normal shift along each axis.
        cuboid: Edges of the cuboid are the cloud's extent times a uniform share up to this; its
            centre is a random point. 0 cuts nothing.
        cuboid_pairs: Cut only where every image keeps so many pairs.
    """

    rotation_deg: float = 180.0
    flip_probability: float = 0.5
    flips: Literal["each", "one_of"] = "each"
    scale: tuple[float, float] = (0.95, 1.05)
    translation_m: Annotated[float, Field(ge=0)] = 0.0
    cuboid: Annotated[float, Field(ge=0, le=1)] = 0.0
    cuboid_pairs: Annotated[int, Field(ge=0)] = 1024


class ImageAugmentation(Settings):
    """Random crops and mirror images of a teacher's pictures; the teacher then runs in the step.

    Attributes:
        crop_area: Uniform range of the share of the picture that is shown; None shows all of it.
        crop_aspect: Range of width over height of a crop, uniform in its logarithm.
        keep_pairs: A crop is drawn again unless more than so many pairs survive,
        keep_share: or more than this share of them; one without pairs is never drawn again.
        flip_probability: Of mirroring left and right, per picture.
    """

    crop_area: tuple[float, float] | None = None
    crop_aspect: tuple[float, float] = (14 / 9, 17 / 9)
    keep_pairs: Annotated[int, Field(ge=0)] = 1024
    keep_share: Annotated[float, Field(ge=0, lt=1)] = 0.75
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.crop_area and not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError("crop_area is a range of shares, low to high, above 0")
        if not 0 < self.crop_aspect[0] <= self.crop_aspect[1]:
            raise ValueError("crop_aspect is a range, low to high, above 0")
        return self


class Length(Settings):
    """How long to train: exactly one of epochs and steps."""

    epochs: Count | None = None
    steps: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class TrainSettings(Settings):
    """What every training run has, upstream and downstream.

    Attributes:
        batch_size: Scans per device.
        bn_momentum: Of the backbone's BatchNorm layers.
        precision: Passed to Fabric.
        checkpoint_steps: Write a resumable state every so many steps.
    """

    length: Length
    batch_size: Count = 4
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    bn_momentum: float = 0.05
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    checkpoint_steps: Count = 500


class MaskSource(Settings):
    """Which segmenter makes masks (`lima_bench.lima.segmenters.catalogue`), with which settings.

    Attributes:
        segmenter: Its id.
        settings: Those that differ from its defaults.
    """

    segmenter: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.resolved()
        return self

    def resolved(self) -> dict[str, Any]:
        """Every setting of the segmenter, defaults included, as JSON values."""
        from lima_bench.lima.segmenters.catalogue import SEGMENTERS

        try:
            card = SEGMENTERS.get(self.segmenter)
            return card.settings.model_validate(self.settings).model_dump(mode="json")
        except UserError as error:
            raise ValueError(f"{error.what} {error.how}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(["settings", *map(str, first["loc"])])
            known = ", ".join(sorted(card.settings.model_fields))
            what = f"segmenter {card.name}, {place}: {first['msg']}. Known settings: {known}"
            raise ValueError(what) from error


class GroundSettings(Settings):
    """The ground of a scan, by RANSAC; methods-spatial 5.2, assumed.

    Attributes:
        distance_m: A point this near to the plane lies on it.
        tries: Planes through three random points that are looked at.
        tilt_deg: How far the plane's normal may lean from z.
    """

    distance_m: float = Field(default=0.25, gt=0)
    tries: int = Field(default=1000, ge=1)
    tilt_deg: float = Field(default=20.0, ge=0, le=90)


class SegmentSettings(Settings):
    """Segments over two scans, by HDBSCAN; methods-spatial 5.2, assumed.

    Attributes:
        min_cluster_size: Points of the smallest segment.
        min_samples: Points, itself included, that make a point's surroundings dense.
    """

    min_cluster_size: int = Field(default=20, ge=2)
    min_samples: int = Field(default=5, ge=1)


class InstanceSettings(Settings):
    """Pseudo-instances of a scan, by DBSCAN; methods-spatial 9, assumed.

    Attributes:
        radius_m: Of a point's surroundings.
        min_points: Points, itself included, that make them dense.
        moving_m: A point farther than this from all points half a second before and after moves.
        smallest: Points of the smallest instance.
        largest: Points of the largest.
        most: Instances per scan.
    """

    radius_m: float = Field(default=0.7, gt=0)
    min_points: int = Field(default=10, ge=1)
    moving_m: float = Field(default=0.3, gt=0)
    smallest: int = Field(default=10, ge=1)
    largest: int = Field(default=5000, ge=1)
    most: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _some_fit(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError("no instance can be both: smallest is more than largest")
        return self


class ClusterSettings(Settings):
    """How points are grouped into 3D clusters, for methods that need them."""

    ground: GroundSettings = GroundSettings()
    segments: SegmentSettings = SegmentSettings()
    pseudo_instances: InstanceSettings = InstanceSettings()


class PretrainRecipe(TrainSettings):
    """Settings of a pretraining run.

    Attributes:
        image_size: (height, width) that images are squeezed to.
        antialias: Of that resize; the published code had none.
        pair_rounding: SLidR and SuperFlow round, ScaLR floors.
        teacher_features: ``raw``, or ``standardised`` per channel over the data set, for every
            method alike.
        superpixels: SLIC segments per image, for methods that need them.
        semantic: Where semantic masks come from, for methods that need them; None: nowhere.
        instances: Where class-agnostic masks come from, likewise.
        clusters: How points are grouped, for methods that need it; the clusters stage reads it.
        survey_frames: Frames, evenly spread, that a survey of the data set looks at, for methods
            that hold one; None: all, as published.
        images: Random crops and mirror images; None shows every image as it is, so that the
            teacher's features can be cached.
    """

    image_size: tuple[Count, Count] = (224, 448)
    antialias: bool = False
    pair_rounding: Literal["round", "floor"] = "round"
    teacher_features: Literal["raw", "standardised"] = "raw"
    superpixels: Count = 150
    semantic: MaskSource | None = None
    instances: MaskSource | None = None
    clusters: ClusterSettings = ClusterSettings()
    survey_frames: Count | None = None
    images: ImageAugmentation | None = None

    @property
    def superpixel_size(self) -> tuple[int, int]:
        """(height, width) of superpixels that are kept: so fine that no crop blurs them."""
        crop = self.images.crop_area if self.images else None
        factor = math.ceil(1 / math.sqrt(crop[0])) if crop else 1
        return self.image_size[0] * factor, self.image_size[1] * factor

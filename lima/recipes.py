"""How training is done, as data: the settings a suite's recipe files may hold.

Offers `VoxelSettings`, `InputSettings`, `Augmentation`, `Optimiser`, `Schedule` and
`PretrainRecipe`. Light: no torch. `lima_bench.downstream.recipes` builds on it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VoxelSettings(Settings):
    """The grid.

    Attributes:
        kind: ``cylindrical`` cells are (rho, phi, z), ``cartesian`` ones (x, y, z).
        size: Cell edges: metres, and degrees for phi.
        rounding: How a coordinate becomes a cell index.
        shift: Make indices non-negative by the ``minimum`` per cloud, or by multiples of 16
            (``aligned16``), which keeps the down-sampling grid in place.
    """

    kind: Literal["cylindrical", "cartesian"] = "cylindrical"
    size: tuple[float, float, float] = (0.1, 1.0, 0.1)
    rounding: Literal["round", "floor"] = "round"
    shift: Literal["minimum", "aligned16"] = "minimum"


class InputSettings(Settings):
    """What the student is fed per voxel.

    Attributes:
        channels: Point attributes in order.
        intensity: ``raw`` file value, ``unit`` (card's scale to 0..1), or either ``_plus_one``.
        max_range_m: Points beyond this distance in x-y are left out; None keeps all.
    """

    channels: tuple[Literal["x", "y", "z", "intensity"], ...] = ("x", "y", "z", "intensity")
    intensity: Literal["raw", "raw_plus_one", "unit", "unit_plus_one"] = "raw"
    max_range_m: float | None = None


class StudentSettings(Settings):
    """Which 3D network, and what goes into it."""

    backbone: str = "minkunet34"
    voxels: VoxelSettings = VoxelSettings()
    inputs: InputSettings = InputSettings()


class Augmentation(Settings):
    """Random motions of the student's copy of the cloud, applied after pairing.

    Attributes:
        rotation_deg: Rotation about z, uniform in plus or minus this.
        flip_probability: For x and for y, independently.
        scale: Uniform range of the scale factor.
    """

    rotation_deg: float = 180.0
    flip_probability: float = 0.5
    scale: tuple[float, float] = (0.95, 1.05)


class Optimiser(Settings):
    """AdamW or SGD with the field's usual knobs."""

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: float = 0.01
    weight_decay: float = 0.01
    eps: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    dampening: float = 0.1


class Schedule(Settings):
    """Learning rate over the run.

    Attributes:
        kind: ``onecycle`` per step, ``cosine_epoch`` to 0 stepped once an epoch,
            ``warmup_cosine`` per step, ``inverse_root`` per step, or ``constant``.
        warmup: Share of the run that warms up.
        div: onecycle: peak / first value.
        final_div: onecycle: first value / last value, so the end is peak / (div * final_div).
        final_lr: warmup_cosine: the last value.
        decay: inverse_root: share of the run after which the peak has fallen to 0.71 of itself.
        cooldown: inverse_root: share of the run, its last, that goes straight down to 0.
    """

    kind: Literal["onecycle", "cosine_epoch", "warmup_cosine", "inverse_root", "constant"] = (
        "onecycle"
    )
    warmup: float = 0.2
    div: float = 25.0
    final_div: float = 100.0
    final_lr: float = 0.0
    decay: Annotated[float, Field(gt=0)] = 0.01
    cooldown: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Length(Settings):
    """How long to train: exactly one of epochs and steps."""

    epochs: int | None = None
    steps: int | None = None

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
    batch_size: int = 4
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    bn_momentum: float = 0.05
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    checkpoint_steps: int = 500


class PretrainRecipe(TrainSettings):
    """Settings of a pretraining run.

    Attributes:
        image_size: (height, width) that images are squeezed to.
        antialias: Of that resize; the published code had none.
        pair_rounding: SLidR and SuperFlow round, ScaLR floors.
        teacher_features: ``raw``, or ``standardised`` per channel over the data set, for every
            method alike.
        superpixels: SLIC segments per image, for methods that need them.
    """

    image_size: tuple[int, int] = (224, 448)
    antialias: bool = False
    pair_rounding: Literal["round", "floor"] = "round"
    teacher_features: Literal["raw", "standardised"] = "raw"
    superpixels: int = 150

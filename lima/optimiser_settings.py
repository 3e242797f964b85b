"""How weights follow gradients, as data: `Optimiser`, `Schedule`, `Rate`. Light: no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from lima_bench.lima.settings import Settings

Momentum = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Grown(Settings):
    """Settings that know which of them are younger than stored results.

    As JSON these are left out while they are None: then they change no number, and must change no
    job's key.
    """

    younger: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_younger(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {k: v for k, v in values.items() if v is not None or k not in self.younger}


class Optimiser(_Grown):
    """AdamW or SGD with the field's usual knobs.

    Attributes:
        kind: AdamW decays weights apart from their gradients, as "Adam with true weight decay" of
            OpenPCDet does; SGD decays them with their gradients.
        lr: The schedule's largest rate.
        weight_decay: Of every parameter.
        eps: adamw: beside the root of the second moment.
        betas: adamw: decay of the two moments; `Schedule.momentum` takes the first one's place.
        momentum: sgd: likewise.
        dampening: sgd: of the gradient that enters the momentum.
        clip_norm: Gradients of all parameters together are scaled down to this length where they
            are longer; None leaves them as they are.
    """

    younger: ClassVar[frozenset[str]] = frozenset({"clip_norm"})

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: Rate = 0.01
    weight_decay: Rate = 0.01
    eps: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    dampening: float = 0.1
    clip_norm: Annotated[float, Field(gt=0)] | None = None


class Schedule(_Grown):
    """Learning rate over the run, and momentum where it moves against it.

    Published one-cycle runs of detectors, 40 % of the run upwards, are written ``warmup: 0.4``,
    ``div: 10``, ``final_div: 10000``, ``momentum: [0.95, 0.85]``, under ``lr: 0.001`` for
    mmdetection3d's cyclic-20e (1e-4, 1e-3, 1e-8; the momentum that it means, detection 2.3) and
    ``lr: 0.003`` for OpenPCDet's adam_onecycle (3e-4, 3e-3, 3e-8). Ours reaches peak and end with
    the last step of each part, theirs one step later.

    Attributes:
        kind: ``onecycle`` per step, ``cosine_epoch`` to 0 stepped once an epoch,
            ``warmup_cosine`` per step, ``inverse_root`` per step, or ``constant``.
        warmup: Share of the run that warms up.
        div: onecycle: peak / first value.
        final_div: onecycle: first value / last value, so the end is peak / (div * final_div).
        final_lr: warmup_cosine: the last value.
        decay: inverse_root: share of the run after which the peak has fallen to 0.71 of itself.
        cooldown: inverse_root: share of the run, its last, that goes straight down to 0.
        momentum: onecycle: from the first down to the second while the rate climbs, and back while
            it falls; SGD's momentum or AdamW's first beta. None leaves the optimiser's own.
    """

    younger: ClassVar[frozenset[str]] = frozenset({"momentum"})

    kind: Literal["onecycle", "cosine_epoch", "warmup_cosine", "inverse_root", "constant"] = (
        "onecycle"
    )
    warmup: float = 0.2
    div: float = 25.0
    final_div: float = 100.0
    final_lr: float = 0.0
    decay: Annotated[float, Field(gt=0)] = 0.01
    cooldown: Annotated[float, Field(ge=0, lt=1)] = 0.0
    momentum: tuple[Momentum, Momentum] | None = None

    @model_validator(mode="after")
    def _momentum_has_a_cycle(self) -> Self:
        if self.momentum is not None and self.kind != "onecycle":
            raise ValueError("momentum moves with kind: onecycle alone")
        return self

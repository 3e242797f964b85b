"""What the stand-in teacher is taught: the material, distance and height of what a pixel shows.

Offers `Lesson`, `corrupted`, `LessonSettings`, `teach` and `calibrate`. Only
``python -m lima_bench.suites.stand_in`` uses this; the network that comes out ships with us.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.lima.recipes import Settings
from lima_bench.lima.teachers.catalogue import IMAGENET_MEAN, IMAGENET_STD
from lima_bench.lima.teachers.tiny import WIDTH

GEOMETRY = ("log_distance", "height")
"""What is regressed, in the order of `Lesson.geometry`."""


class LessonSettings(Settings):
    """How the stand-in is taught.

    Attributes:
        steps: Optimiser steps.
        batch_size: Pictures per step.
        lr: Peak learning rate of AdamW, one cycle.
        weight_decay: Of AdamW.
        geometry_weight: Of the distance and height term beside the material term.
        balance: Materials weigh (share of cells) ** -balance in the loss.
        gain: Range of the brightness factor, per picture.
        tint: Largest deviation from 1 of each colour's own factor.
        noise: Largest deviation of the pixel noise.
        blur: Share of pictures that are blurred.
    """

    steps: int = 800
    batch_size: int = 8
    lr: float = 4e-3
    weight_decay: float = 1e-2
    geometry_weight: float = 0.3
    balance: float = 0.5
    gain: tuple[float, float] = (0.7, 1.2)
    tint: float = 0.05
    noise: float = 0.03
    blur: float = 0.15


@dataclass(frozen=True)
class Lesson:
    """Pictures with what the simulator knows of them.

    Attributes:
        pixels: As in the file.
        material: Share of each material in each cell.
        geometry: Mean log distance and height of the cell's pixels, standardised over the lesson.
        solid: Share of the cell's pixels that are not sky.
    """

    pixels: UInt8[Tensor, "pictures 3 H W"]
    material: Float[Tensor, "pictures h w materials"]
    geometry: Float[Tensor, "pictures h w 2"]
    solid: Float[Tensor, "pictures h w"]


def corrupted(
    pixels: UInt8[Tensor, "batch 3 H W"], settings: LessonSettings, generator: torch.Generator
) -> Float[Tensor, "batch 3 H W"]:
    """Pixels in 0..1 under other light, on a worse sensor, sometimes out of focus."""
    count = (len(pixels), 1, 1, 1)
    low, high = settings.gain
    gain = low + (high - low) * torch.rand(count, generator=generator)
    tint = 1 + settings.tint * (2 * torch.rand((len(pixels), 3, 1, 1), generator=generator) - 1)
    images = pixels.float() / 255 * gain * tint
    out_of_focus = torch.rand(count, generator=generator) < settings.blur
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = torch.where(out_of_focus, soft, images)
    noise = torch.randn(images.shape, generator=generator)
    level = settings.noise * torch.rand(count, generator=generator)
    return (images + level * noise).clamp(0, 1)


def normalised(images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch 3 H W"]:
    """What `Teacher` hands to its network."""
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


def teach(
    network: nn.Module,
    lesson: Lesson,
    settings: LessonSettings,
    seed: int,
    report: Report = silent,
) -> None:
    """Train `network` in place; two linear heads are trained with it and thrown away."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "teach"))
    n_materials = lesson.material.shape[-1]
    head = nn.Linear(WIDTH, n_materials + len(GEOMETRY))
    nn.init.normal_(head.weight, std=WIDTH**-0.5, generator=generator)
    nn.init.zeros_(head.bias)
    weight = _material_weights(lesson, settings.balance)
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, settings.lr, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.lr, settings.steps, pct_start=0.2
    )
    network.train()
    for step, rows in enumerate(_draw(len(lesson.pixels), settings, generator)):
        images, targets = _seen(lesson, rows, settings, generator)
        out = head(network(normalised(images)))
        loss = _loss(out, targets, weight, settings.geometry_weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        report(step + 1, settings.steps, {"loss": loss.item()})
    network.eval()


def _material_weights(lesson: Lesson, balance: float) -> Float[Tensor, " materials"]:
    share = lesson.material.mean(dim=(0, 1, 2))
    weight = torch.where(share > 0, share.clamp(min=1e-4) ** -balance, 0.0)
    return weight / (weight * share).sum()


def _draw(
    n_pictures: int, settings: LessonSettings, generator: torch.Generator
) -> list[Int[Tensor, " batch"]]:
    """Batches of all steps: every picture once before any comes again."""
    needed = settings.steps * settings.batch_size
    orders = [
        torch.randperm(n_pictures, generator=generator) for _ in range(-(-needed // n_pictures))
    ]
    return list(torch.split(torch.cat(orders)[:needed], settings.batch_size))


Targets = tuple[Tensor, Tensor, Tensor]


def _seen(
    lesson: Lesson,
    rows: Int[Tensor, " batch"],
    settings: LessonSettings,
    generator: torch.Generator,
) -> tuple[Tensor, Targets]:
    """A batch, corrupted; half of the time as in a mirror."""
    images = corrupted(lesson.pixels[rows], settings, generator)
    targets = (lesson.material[rows], lesson.geometry[rows], lesson.solid[rows])
    if torch.rand((), generator=generator) < 0.5:
        return images.flip(-1), (targets[0].flip(2), targets[1].flip(2), targets[2].flip(2))
    return images, targets


def _loss(
    out: Float[Tensor, "batch h w outputs"],
    targets: Targets,
    weight: Float[Tensor, " materials"],
    geometry_weight: float,
) -> Float[Tensor, ""]:
    """Cross-entropy to each cell's material shares, and smooth L1 to its geometry."""
    material, geometry, solid = targets
    logits, guess = torch.split(out, [material.shape[-1], len(GEOMETRY)], dim=-1)
    named = -(material * weight * logits.log_softmax(-1)).sum(-1).mean()
    miss = F.smooth_l1_loss(guess, geometry, reduction="none").mean(-1)
    total: Tensor = named + geometry_weight * (miss * solid).sum() / solid.sum().clamp(min=1)
    return total


@torch.no_grad()
def calibrate(network: nn.Module, pixels: UInt8[Tensor, "pictures 3 H W"]) -> None:
    """Set every BatchNorm's statistics to the mean of those of batches of 16 of `pixels`."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches that follow
    network.train()
    for images in torch.split(pixels, 16):
        network(normalised(images.float() / 255))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

"""A frozen 2D network: pixels in, a grid of features out.

Offers `Teacher` and `load_teacher`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.checkpoint import read_weights
from lima_bench.lima.teachers.catalogue import TEACHERS, TeacherCard
from lima_bench.lima.teachers.files import find_weights, weights_digest
from lima_bench.lima.teachers.weights import chosen, fill


class Teacher(nn.Module):
    """A network that is never trained: no gradients, always in evaluation mode.

    Args:
        card: What is known of it.
        network: Maps normalised pixels (B, 3, H, W) to features (B, h, w, D).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, card: TeacherCard, network: nn.Module) -> None:
        super().__init__()
        self.card, self.width = card, card.width
        self.network = network.requires_grad_(False)
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(card.mean).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).reshape(shape), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the module that holds this one does."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch h w width"]:
        """Features of images.

        Args:
            pixels: RGB in 0..1; the card's normalisation (ImageNet's, mostly) happens here.

        Raises:
            UserError: The image size is not a multiple of the stride.
        """
        self.check_size((pixels.shape[-2], pixels.shape[-1]))
        features: Tensor = self.network((pixels - self.mean) / self.std)
        return features

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse image sizes (height, width) that the feature grid would not cover.

        Raises:
            UserError: A side is not a multiple of the stride.
        """
        if any(side % self.card.stride for side in size):
            raise UserError(
                "image_size",
                f"{size[0]} x {size[1]} is no multiple of {self.card.stride}, which "
                f"the teacher {self.card.name} needs.",
                "Give height and width that are.",
            )


def load_teacher(name: str, weights: Path | None = None) -> Teacher:
    """The teacher called `name` with its published weights, on the CPU, in float32.

    Args:
        name: A teacher id.
        weights: Folder of downloaded weights; None reads the environment's.

    Raises:
        UserError: No such teacher, its weights are missing, or they do not fit.
    """
    card = TEACHERS.get(name)
    path = find_weights(card, weights)
    weights_digest(card, weights)
    module, factory_name, *arguments = card.implementation.split(":")
    factory: Callable[..., nn.Module] = getattr(importlib.import_module(module), factory_name)
    with torch.device("meta"):
        network = factory(*arguments)
    fill(network, chosen(card, read_weights(path)), path)
    return Teacher(card, network)

"""The stand-in teacher of the embedded world: a small convolutional network that ships with us.

Offers `TinyNetwork` and its factory `tiny`. ``tiny.safetensors`` was trained on the built-in world
with the simulator's own labels (``tiny.json`` says how, and how good it is): it stands in for a
foundation model and is none. ``random_tiny.safetensors`` holds the weights that this training
started from: the control that tells what a teacher's knowledge is worth.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 64
_STEM, _FINE, _MIDDLE, _COARSE = 24, 48, 64, 80
"""Channels at strides 2, 4, 8 and 16: most of the weights lie where there are few cells."""


class Unit(nn.Sequential):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input passes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Unit(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "batch width h w"]) -> Float[Tensor, "batch width h w"]:
        """The input plus what was added to it."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class TinyNetwork(nn.Module):
    """Three scales (strides 4, 8, 16) summed at stride 4.

    Every reduction has an even kernel, so that a cell lies in the middle of its pixels, as a
    transformer's patch does: pixel features are then sampled from the place where they were seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, _STEM, 4, 2, 1)
        self.fine = nn.Sequential(Unit(_STEM, _FINE, 4, 2, 1), Residual(_FINE))
        self.middle = nn.Sequential(Unit(_FINE, _MIDDLE, 2, 2, 0), Residual(_MIDDLE))
        self.coarse = nn.Sequential(Unit(_MIDDLE, _COARSE, 2, 2, 0), Residual(_COARSE))
        self.from_fine = nn.Conv2d(_FINE, WIDTH, 1)
        self.from_middle = nn.Conv2d(_MIDDLE, WIDTH, 1)
        self.from_coarse = nn.Conv2d(_COARSE, WIDTH, 1)
        self.join = nn.Sequential(nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=False))
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch h w 64"]:
        """Features at stride 4, channels last."""
        fine = self.fine(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        total = self.from_fine(fine)
        for lateral, scale in ((self.from_middle, middle), (self.from_coarse, coarse)):
            total = total + F.interpolate(lateral(scale), total.shape[-2:], mode="bilinear")
        features: Tensor = self.norm(self.join(total))
        return features.permute(0, 2, 3, 1)


def tiny() -> TinyNetwork:
    """The architecture of `tiny` and `random_tiny`."""
    return TinyNetwork()

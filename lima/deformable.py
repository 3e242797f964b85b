"""Convolution whose taps move: every pixel chooses where the kernel of 3 looks.

Offers `DeformableConv`, in torch's own operations. Source: Deformable Convolutional Networks
(ICCV 2017), first version, as HVDistill uses it (methods-spatial 7.3).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1))


class DeformableConv(nn.Module):
    """Kernel of 3, as many channels out as in, without bias; outside of the image lie zeros.

    A plain convolution tells each pixel by how much to move each of the nine taps, the same for
    all channels. It starts at zero, so that training starts from plain taps.

    Args:
        width: Channels.
        groups: Of channels that are mixed among themselves.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(width, width // groups, 3, 3))
        bound = math.sqrt(6.0 / (width // groups * len(TAPS)))
        nn.init.uniform_(self.weight, -bound, bound)
        self.moves = nn.Conv2d(width, 2 * len(TAPS), kernel_size=3, padding=1)
        nn.init.zeros_(self.moves.weight)
        nn.init.zeros_(self.moves.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "n width h w"]) -> Float[Tensor, "n width h w"]:
        """The taps' values, bilinear between pixels, weighed and summed."""
        images, _, height, width = x.shape
        moves = self.moves(x).view(images, len(TAPS), 2, height, width)
        moves = moves + x.new_tensor(TAPS)[:, :, None, None]
        seen = _moved(x, moves[:, :, 0], moves[:, :, 1])
        # Rows: the inputs of a group, and of each its taps, as they lie in the weights.
        seen = seen.reshape(images, self.groups, -1, height * width)
        weights = self.weight.view(self.groups, -1, seen.shape[2])
        return (weights @ seen).view(x.shape)


def _moved(
    x: Float[Tensor, "n width h w"],
    down: Float[Tensor, "n taps h w"],
    right: Float[Tensor, "n taps h w"],
) -> Float[Tensor, "n width tapped w"]:
    """What lies `down` and `right` of each pixel, in pixels, tap below tap."""
    height, width = x.shape[2:]
    row = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] + down
    col = torch.arange(width, device=x.device, dtype=x.dtype) + right
    # grid_sample counts from pixel edges, from -1 to 1, when corners are not aligned; that also
    # holds for an image one pixel wide.
    place = torch.stack(((2 * col + 1) / width - 1, (2 * row + 1) / height - 1), dim=-1)
    place = place.flatten(1, 2).to(x.dtype)
    return F.grid_sample(x, place, padding_mode="zeros", align_corners=False)

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
        moves = self.moves(x).unflatten(1, (len(TAPS), 2))
        total = torch.zeros_like(x)
        for tap, (row, col) in enumerate(TAPS):
            seen = _moved(x, moves[:, tap, 0] + row, moves[:, tap, 1] + col)
            weight = self.weight[:, :, row + 1, col + 1, None, None]
            total = total + F.conv2d(seen, weight, groups=self.groups)
        return total


def _moved(
    x: Float[Tensor, "n width h w"], down: Float[Tensor, "n h w"], right: Float[Tensor, "n h w"]
) -> Float[Tensor, "n width h w"]:
    """What lies `down` and `right` of each pixel, in pixels."""
    height, width = x.shape[2:]
    row = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] + down
    col = torch.arange(width, device=x.device, dtype=x.dtype) + right
    # grid_sample counts from pixel edges, from -1 to 1, when corners are not aligned; that also
    # holds for an image one pixel wide.
    place = torch.stack(((2 * col + 1) / width - 1, (2 * row + 1) / height - 1), dim=-1)
    return F.grid_sample(x, place.to(x.dtype), padding_mode="zeros", align_corners=False)

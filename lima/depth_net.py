"""How far each cell of an image is, and what it means there: image features -> depth and context.

Offers `DepthNet` and `camera_entries`. The network knows its camera: calibration gates its
channels. Source: methods-spatial 7.3, after BEVDepth (AAAI 2023).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.batch import Lenses
from lima_bench.lima.deformable import DeformableConv

N_ENTRIES = 22
DILATIONS = (6, 12, 18)
GROUPS = 4
DROPOUT = 0.5


def camera_entries(lenses: Lenses, dtype: torch.dtype) -> Float[Tensor, "images 22"]:
    """What the network is told of each camera.

    Four entries of the intrinsics (fx, fy, cx, cy, pixels of the resized image), six of the
    augmentation of the image, and twelve of the pose of the camera, here in the LiDAR frame of the
    scan. Crops and mirror images are in the intrinsics already, so the six say: no turn, no shift.
    """
    k = lenses.intrinsic
    inner = torch.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], dim=1)
    still = k.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).expand(len(k), -1)
    return torch.cat([inner, still, lenses.camera_to_lidar[:, :3].flatten(1)], dim=1).to(dtype)


class DepthNet(nn.Module):
    """Depth distribution and context of every cell of an image.

    Args:
        width_in: Channels of what comes in.
        width: Channels inside, a multiple of 4; 256 as published.
        context: Channels of the context.
        n_depths: Depths to choose from.
    """

    def __init__(self, width_in: int, width: int, context: int, n_depths: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(width_in, width, kernel_size=3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.entries_norm = BatchNorm(N_ENTRIES)
        self.context_gate = _CameraGate(width)
        self.context = nn.Conv2d(width, context, kernel_size=1)
        self.depth_gate = _CameraGate(width)
        self.depth = nn.Sequential(
            *(_BasicBlock(width) for _ in range(3)),
            _Aspp(width),
            DeformableConv(width, GROUPS),
            nn.Conv2d(width, n_depths, kernel_size=1),
        )

    def forward(
        self, x: Float[Tensor, "images width_in h w"], entries: Float[Tensor, "images 22"]
    ) -> tuple[Float[Tensor, "images depths h w"], Float[Tensor, "images context h w"]]:
        """The probability of each depth, and the context.

        Args:
            x: Image features.
            entries: As `camera_entries` makes them.
        """
        x, entries = self.reduce(x), self.entries_norm(entries)
        context = self.context(self.context_gate(x, entries))
        return self.depth(self.depth_gate(x, entries)).softmax(dim=1), context


class _CameraGate(nn.Module):
    """Channels, each made weaker by what the camera is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(N_ENTRIES, width), nn.ReLU(), nn.Linear(width, width))
        self.gate = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(
        self, x: Float[Tensor, "images width h w"], entries: Float[Tensor, "images 22"]
    ) -> Float[Tensor, "images width h w"]:
        gated: Tensor = x * self.gate(self.read(entries)).sigmoid()[:, :, None, None]
        return gated


class _BasicBlock(nn.Module):
    """Two convolutions of 3 beside a shortcut, as in ResNet-18."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Float[Tensor, "images width h w"]) -> Float[Tensor, "images width h w"]:
        return F.relu(x + self.body(x))


class _Aspp(nn.Module):
    """Near and far surroundings and the whole image side by side (DeepLabv3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_normed(width, width, 1)])
        self.branches.extend(_normed(width, width, 3, dilation) for dilation in DILATIONS)
        self.whole = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), _convolution(width, width, 1), _ImageNorm(width), nn.ReLU()
        )
        self.merge = nn.Sequential(
            _normed((len(self.branches) + 1) * width, width, 1), nn.Dropout(DROPOUT)
        )

    def forward(self, x: Float[Tensor, "images width h w"]) -> Float[Tensor, "images width h w"]:
        parts = [branch(x) for branch in self.branches]
        merged: Tensor = self.merge(torch.cat([*parts, self.whole(x).expand_as(x)], dim=1))
        return merged


class _ImageNorm(nn.BatchNorm2d):
    """BatchNorm of one value per image: a single image is normalised by the running statistics."""

    def forward(self, x: Float[Tensor, "images width 1 1"]) -> Float[Tensor, "images width 1 1"]:
        if len(x) > 1:
            return super().forward(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def _normed(width: int, wide: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _convolution(width, wide, kernel, dilation), nn.BatchNorm2d(wide), nn.ReLU()
    )


def _convolution(width: int, wide: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    padding = dilation if kernel > 1 else 0
    made = nn.Conv2d(width, wide, kernel, padding=padding, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(made.weight)
    return made

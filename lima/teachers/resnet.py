"""ResNet-50 under the names of MoCo v2's published weights, with or without dilation.

Offers `ResNet50` and its factories: `dilated` (stride 4; the teacher of SLidR and its followers)
and `plain` (stride 32; that of PPKT). Architecture: He et al., "Deep Residual Learning", 2016, in
the form that MoCo's authors trained: the stride of a bottleneck lies in its 3x3 convolution.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Inner width and number of blocks."""

_EXPANSION = 4
"""A block's output is this many times as wide as its inside."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around which the input passes, projected if sizes differ.

    Args:
        inputs: Channels that come in.
        width: Channels inside; four times as many come out.
        stride: Of the 3x3 convolution and the projection.
        dilation: Of the 3x3 convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "batch inputs H W"]) -> Float[Tensor, "batch outputs h w"]:
        """The input plus what was added to it."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet50(nn.Module):
    """The convolutional trunk; maps normalised pixels to the last stage's features.

    Args:
        is_dilated: Stages 2 to 4 keep the resolution of the first: their strides become dilation,
            1, 2 and 4 in a stage's first block (it sees what the stage before made) and 2, 4 and 8
            in the others, so that every kernel meets the cells that it was trained on.
    """

    def __init__(self, *, is_dilated: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, dilation = 64, 1
        for number, (width, n_blocks) in enumerate(_STAGES, 1):
            stride, first = (1 if number == 1 else 2), dilation
            if is_dilated and stride == 2:
                stride, dilation = 1, 2 * dilation
            blocks = [Bottleneck(inputs, width, stride, first)]
            inputs = _EXPANSION * width
            blocks += [Bottleneck(inputs, width, 1, dilation) for _ in range(n_blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch h w 2048"]:
        """Features after the last ReLU, channels last."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.permute(0, 2, 3, 1)


def dilated() -> ResNet50:
    """2048 x 56 x 104 for images of 224 x 416; 23,508,032 parameters."""
    return ResNet50(is_dilated=True)


def plain() -> ResNet50:
    """2048 x 7 x 13 for images of 224 x 416; the same parameters."""
    return ResNet50(is_dilated=False)

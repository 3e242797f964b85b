"""The 2D network between encoder and head: bird's-eye map -> `BevNetwork` -> features.

Offers `BevNetwork`. As in mmdetection3d's SECOND and SECONDFPN (detection 3.3), whose layout of
layers it keeps, and whose first weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.downstream.detection.settings import PUBLISHED_MOMENTUM, BevSettings

EPS = 1e-3
"""Of every BatchNorm."""


class BevNetwork(nn.Module):
    """Two blocks of convolutions, the second at half the resolution, brought together again.

    Args:
        in_channels: Of the map.
        settings: Widths and depths.
        bn_momentum: Of every BatchNorm.
    """

    def __init__(
        self,
        in_channels: int,
        settings: BevSettings,
        bn_momentum: float = PUBLISHED_MOMENTUM,
    ) -> None:
        super().__init__()
        fine, coarse = settings.widths
        shallow, deep = settings.layers
        self.width = 2 * settings.neck
        self.blocks = nn.ModuleList(
            [_block(in_channels, fine, 1, shallow), _block(fine, coarse, 2, deep)]
        )
        self.neck = nn.ModuleList(
            [
                _normed(nn.Conv2d(fine, settings.neck, 1, bias=False)),
                _normed(nn.ConvTranspose2d(coarse, settings.neck, 2, stride=2, bias=False)),
            ]
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = bn_momentum
        self._initialise()

    def forward(
        self, bird_eye: Float[Tensor, "frames channels height width"]
    ) -> Float[Tensor, "frames features height width"]:
        """What both blocks see, at the resolution of the map.

        A map of odd height or width comes back as large as it was: the last row or column of the
        coarse block reaches over its border and is cut off.
        """
        fine: Tensor = self.blocks[0](bird_eye)
        coarse: Tensor = self.neck[1](self.blocks[1](fine))
        height, width = fine.shape[2:]
        return torch.cat((self.neck[0](fine), coarse[:, :, :height, :width]), 1)

    def _initialise(self) -> None:
        """Kaiming for all but the convolution to the neck, which mmdetection3d leaves as it is."""
        for module in (*self.blocks.modules(), *self.neck[1].modules()):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _block(in_channels: int, width: int, stride: int, n_more: int) -> nn.Sequential:
    """A convolution with a stride, and `n_more` without."""
    layers = [*_normed(nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False))]
    for _ in range(n_more):
        layers += [*_normed(nn.Conv2d(width, width, 3, padding=1, bias=False))]
    return nn.Sequential(*layers)


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    norm = nn.BatchNorm2d(convolution.out_channels, eps=EPS)
    return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))

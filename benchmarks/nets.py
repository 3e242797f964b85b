"""A whole network in training, ours or in spconv's modules: what `network`, `memory`, `tiny` time.

Offers `Contestant` and `contestant`. Kernel maps and pair lists are built anew in every call, by
all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.contenders import PEER, within
from benchmarks.spconv_peer import SpconvNet
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.minkunet import MinkUNet
from lima_bench.lima.voxels import Voxels

IN_CHANNELS = 4
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Contestant:
    """One network on one batch.

    Attributes:
        contender: One of our engines, or ``spconv``.
        network: Its modules.
        optimiser: Of all its parameters.
        voxels: The batch.
    """

    contender: str
    network: nn.Module
    optimiser: torch.optim.Optimizer
    voxels: Voxels

    def on(self, voxels: Voxels) -> Contestant:
        """The same network on another batch."""
        return replace(self, voxels=voxels)

    def infer(self) -> Tensor:
        """Features of all voxels, in evaluation mode, without gradients."""
        self.network.eval()
        with torch.inference_mode():
            return self._features()

    def learn(self) -> None:
        """One step: forward, backward, AdamW."""
        self.network.train()
        self.optimiser.zero_grad()
        features = self._features()
        torch.autograd.backward(features, torch.full_like(features, 1 / len(features)))
        self.optimiser.step()

    def _features(self) -> Tensor:
        def features() -> Tensor:
            found: Tensor = self.network(self.voxels)
            return found

        return features() if self.contender == PEER else within(self.contender, features)()


def contestant(backbone: str, contender: str, voxels: Voxels) -> Contestant:
    """`backbone`, with the same first weights for every contender.

    Args:
        backbone: A backbone id.
        contender: One of our engines, or ``spconv``.
        voxels: The batch, without kernel maps.
    """
    torch.manual_seed(0)
    network: nn.Module = build_backbone(backbone, IN_CHANNELS, bn_momentum=0.1)
    if contender == PEER:
        assert isinstance(network, MinkUNet)
        network = SpconvNet(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=True)
    return Contestant(contender, network, optimiser, voxels)

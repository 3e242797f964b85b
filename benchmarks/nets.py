"""A whole network in training, as ours or in spconv's modules: what `network`, `memory`, `tiny` time.

Offers `Contestant` and `contestant`. Kernel maps and pair lists are built anew in every call, by all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        network: Its modules.
        infer: Features of all voxels, in evaluation mode, without gradients.
        learn: One step: forward, backward, AdamW.
    """

    network: nn.Module
    infer: Callable[[], Tensor]
    learn: Callable[[], None]


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
    upstream: list[Tensor] = []

    def infer() -> Tensor:
        network.eval()
        with torch.inference_mode():
            found: Tensor = network(voxels)
        return found

    def learn() -> None:
        network.train()
        optimiser.zero_grad()
        features = network(voxels)
        if not upstream:
            upstream.append(torch.randn_like(features) / len(features))
        features.backward(upstream[0])
        optimiser.step()

    if contender == PEER:
        return Contestant(network, infer, learn)
    return Contestant(network, within(contender, infer), within(contender, learn))

"""A slow copy of a network that follows it by an exponential moving average.

Offers `EmaCopy`. The copy is made of buffers: no optimiser finds them, and they are saved and
loaded with the method that owns them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class EmaCopy(nn.Module):
    """Weights that trail those of a network; the network's own code runs with them.

    Running statistics are no average: the copy normalises with its own batches and keeps its own.

    Args:
        network: What to follow; it is not kept, and has to be given at every call.
        momentum: Share of the old weights that an update keeps.
    """

    def __init__(self, network: nn.Module, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        for name, tensor in _state(network).items():
            self.register_buffer(_key(name), tensor.detach().clone())

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step towards the weights of `network`: ``k <- momentum k + (1 - momentum) q``."""
        for name, weight in network.named_parameters():
            self.get_buffer(_key(name)).lerp_(weight, 1 - self.momentum)

    @torch.no_grad()
    def forward(self, network: nn.Module, *inputs: Any) -> Any:
        """What `network` would say with the copy's weights; never a gradient.

        Args:
            network: The one that is followed, in the mode (training or not) that is wanted.
            inputs: Its arguments.
        """
        own = {name: self.get_buffer(_key(name)) for name in _state(network)}
        return functional_call(network, own, inputs)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _key(name: str) -> str:
    """Names of buffers hold no dots."""
    return name.replace(".", "/")

"""What many small branches say of the same features, in a few large convolutions.

Offers `branch_maps`. Both heads have some thirty branches, each a convolution to a few channels,
BatchNorm, ReLU and a last convolution. One after another they leave the machine idle; side by side,
they cost two thirds. Modules stay as published, one per branch: only the arithmetic is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class _Branch(NamedTuple):
    """The layers of a branch that have weights."""

    first: nn.Conv2d
    norm: nn.Module
    last: nn.Conv2d


def branch_maps(
    groups: Sequence[Mapping[str, nn.Module]], shared: Float[Tensor, "frames channels height width"]
) -> tuple[dict[str, Tensor], ...]:
    """What each branch of each group gives for `shared`; as if each were called by itself.

    Args:
        groups: Branches by name. Those of all groups have the same layers and the same width
            inside: a 3 x 3 convolution without bias, a norm, ReLU and a 3 x 3 convolution.
        shared: What all of them see.
    """
    branches = [_layers(branch) for group in groups for branch in group.values()]
    inside = F.conv2d(shared, torch.cat([one.first.weight for one in branches]), padding=1)
    inside = _normed([one.norm for one in branches], inside).relu()
    maps = iter(_last([one.last for one in branches], inside))
    return tuple({name: next(maps) for name in group} for group in groups)


def _layers(branch: nn.Module) -> _Branch:
    first, norm, _, last = (layer for layer in branch.modules() if not list(layer.children()))
    return _Branch(cast(nn.Conv2d, first), norm, cast(nn.Conv2d, last))


def _normed(norms: Sequence[nn.Module], inside: Tensor) -> Tensor:
    """Each norm of its own channels."""
    plain = [norm for norm in norms if type(norm) is nn.BatchNorm2d]
    if len(plain) < len(norms):  # SyncBatchNorm asks the other devices by itself
        parts = inside.chunk(len(norms), 1)
        return torch.cat([norm(part) for norm, part in zip(norms, parts, strict=True)], 1)
    mean, var = (_side_by_side(plain, name) for name in ("running_mean", "running_var"))
    weight, bias = (_side_by_side(plain, name) for name in ("weight", "bias"))
    one = plain[0]
    assert one.momentum is not None  # no recipe asks for means over all of time
    inside = F.batch_norm(inside, mean, var, weight, bias, one.training, one.momentum, one.eps)
    if one.training:
        statistics = zip(plain, mean.chunk(len(plain)), var.chunk(len(plain)), strict=True)
        for norm, means, variances in statistics:
            for kept, now in ((norm.running_mean, means), (norm.running_var, variances)):
                cast(Tensor, kept).copy_(now)
            cast(Tensor, norm.num_batches_tracked).add_(1)
    return inside


def _side_by_side(norms: Sequence[nn.BatchNorm2d], name: str) -> Tensor:
    return torch.cat([getattr(norm, name) for norm in norms])


def _last(convolutions: Sequence[nn.Conv2d], inside: Tensor) -> list[Tensor]:
    """Each convolution of its own channels, as one with groups: all padded to the widest."""
    widest = max(one.out_channels for one in convolutions)
    weights, biases = [], []
    for one in convolutions:
        spare = widest - one.out_channels
        weights.append(F.pad(one.weight, (0, 0) * 3 + (0, spare)))
        biases.append(F.pad(cast(Tensor, one.bias), (0, spare)))
    maps = F.conv2d(
        inside, torch.cat(weights), torch.cat(biases), padding=1, groups=len(convolutions)
    )
    parts = maps.chunk(len(convolutions), 1)
    return [part[:, : one.out_channels] for part, one in zip(parts, convolutions, strict=True)]

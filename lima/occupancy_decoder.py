"""Asks a student's features whether places are occupied: features, queries -> logits.

Offers `OccupancyDecoder`, the decoder of ALSO (CVPR 2023) as its authors' code has it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.take import take_rows

N_HIDDEN = 2


class OccupancyDecoder(nn.Module):
    """Every support point answers by itself for each query in its ball.

    ``[latent, query - support] -> Linear -> (ReLU -> Linear) x 2 -> Linear``: there is no ReLU
    between the last two, as published.

    Args:
        width: Of the student's features.
        latent: Of what the decoder reads, and of its layers.
    """

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.latent = nn.Linear(width, latent)
        self.enter = nn.Linear(latent + 3, latent)
        self.hidden = nn.ModuleList(nn.Linear(latent, latent) for _ in range(N_HIDDEN))
        self.leave = nn.Linear(latent, 1)

    def forward(
        self,
        features: Float[Tensor, "supports width"],
        offset: Float[Tensor, "near 3"],
        support: Int[Tensor, " near"],
    ) -> Float[Tensor, " near"]:
        """The logit of each meeting of a query and a support point.

        Args:
            features: The student's, of the support points.
            offset: From support point to query, metres.
            support: The support point of each meeting.
        """
        # The first layer is linear in both, so a support point's part is computed once.
        of_latent, of_offset = self.enter.weight[:, :-3], self.enter.weight[:, -3:]
        told = F.linear(self.latent(features), of_latent, self.enter.bias)
        values = take_rows(told, support) + F.linear(offset.to(told.dtype), of_offset)
        for layer in self.hidden:
            values = layer(torch.relu(values))
        logits: Tensor = self.leave(values).squeeze(1)
        return logits

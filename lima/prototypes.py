"""Prototypes of unit vectors, made anew now and then from a bank of those seen lately.

Offers `PrototypeBank` and `spherical_kmeans`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima import ranks
from lima_bench.lima.kmeans import settled

ITERATIONS = 20


def spherical_kmeans(
    vectors: Float[Tensor, "vectors width"], n_means: int, iterations: int = ITERATIONS
) -> Float[Tensor, "means width"]:
    """Directions to which `vectors` are near: each is that of the sum of those nearest to it.

    Begins with vectors drawn by torch's own chance.

    Args:
        vectors: Of unit length, at least `n_means` of them.
        n_means: How many.
        iterations: Rounds; it ends sooner if nothing changes hands.
    """
    means = vectors[torch.randperm(len(vectors), device=vectors.device)[:n_means]]
    return settled(vectors, means, iterations)


class PrototypeBank(nn.Module):
    """The newest vectors, and the prototypes that were last made from their like.

    Prototypes are the same on every rank: rank 0 makes them from its own bank, which holds a fair
    sample. The bank is each rank's own. Both are module state, so runs resume bit for bit.

    Args:
        n_prototypes: How many.
        width: Of the vectors.
        size: Vectors kept, the newest; making prototypes empties the bank.
    """

    def __init__(self, n_prototypes: int, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.prototypes: Tensor
        self.register_buffer("prototypes", torch.zeros(n_prototypes, width))
        self._vectors: deque[Tensor] = deque()
        self._era = 0

    @property
    def ready(self) -> bool:
        """Whether there are prototypes."""
        return bool(self.prototypes.any())

    def __len__(self) -> int:
        """Vectors in the bank."""
        return sum(map(len, self._vectors))

    @torch.no_grad()
    def begin(self, era: int, *, wanted: bool) -> None:
        """Enter an era; where it is a new one, make prototypes if `wanted` and empty the bank.

        Where rank 0 has seen fewer vectors than there are prototypes, nothing changes: the bank
        goes on filling until the next era.
        """
        if era == self._era:
            return
        self._era = era
        if wanted:
            made = self._made() if ranks.rank() == 0 else self.prototypes
            self.prototypes.copy_(ranks.from_first(made))
        if len(self) >= len(self.prototypes):
            self._vectors.clear()

    def _made(self) -> Float[Tensor, "means width"]:
        if len(self) < len(self.prototypes):
            return self.prototypes
        return spherical_kmeans(torch.cat(list(self._vectors)), len(self.prototypes))

    @torch.no_grad()
    def add(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take unit vectors in; the oldest leave."""
        self._vectors.append(vectors.detach().to(self.prototypes.dtype))
        excess = len(self) - self.size
        while excess > 0:
            oldest = self._vectors.popleft()
            if len(oldest) > excess:
                self._vectors.appendleft(oldest[excess:])
            excess -= len(oldest)

    def get_extra_state(self) -> dict[str, Any]:
        """The bank, as one tensor."""
        empty = self.prototypes[:0]
        return {"era": self._era, "vectors": torch.cat([empty, *self._vectors]).clone()}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved bank."""
        self._era = int(state["era"])
        self._vectors = deque([state["vectors"].to(self.prototypes)])

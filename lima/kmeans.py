"""The rounds of spherical k-means, for prototypes in a step and for stand-ins of masks.

Offers `settled`. How means begin is the caller's choice.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.lima.losses import products, unit


def settled(
    vectors: Float[Tensor, "vectors width"], means: Float[Tensor, "means width"], rounds: int
) -> Float[Tensor, "means width"]:
    """Directions to which `vectors` are near: each is that of the sum of those nearest to it.

    A direction that loses all of its vectors stays where it was.

    Args:
        vectors: Of unit length.
        means: Where they begin, of unit length.
        rounds: At most; it ends sooner if nothing changes hands.
    """
    owner = torch.full((len(vectors),), -1, device=vectors.device)
    for _ in range(rounds):
        before, owner = owner, products(vectors, means).argmax(1)
        if torch.equal(before, owner):
            break
        total = torch.zeros_like(means).index_add(0, owner, vectors)
        means = torch.where(total.any(1, keepdim=True), unit(total), means)
    return means

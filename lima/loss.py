"""What a method returns: named terms, each a scalar, whose sum is learnt from."""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor


class Loss:
    """Named terms of one step's loss; weights are already applied.

    Example: ``Loss(cosine=cosine_pull(points, pixels))``.
    """

    def __init__(self, **terms: Float[Tensor, ""]) -> None:
        self.terms = terms

    @property
    def total(self) -> Float[Tensor, ""]:
        """The sum of the terms."""
        total, *others = self.terms.values()
        for term in others:
            total = total + term
        return total

    def __iter__(self) -> Iterator[tuple[str, Float[Tensor, ""]]]:
        """Names and values, in order."""
        return iter(self.terms.items())

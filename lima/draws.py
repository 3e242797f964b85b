"""Chance inside a step, from torch's own source, which the loop seeds anew every step.

Offers `some` and `one_of_each`.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def some(items: Int[Tensor, " items"], most: int) -> Int[Tensor, " drawn"]:
    """At most so many of `items`, each equally likely; all of them, as they stand, if they fit."""
    if len(items) <= most:
        return items
    return items[torch.randperm(len(items), device=items.device)[:most]]


def one_of_each(label: Int[Tensor, " items"]) -> Int[Tensor, " labels"]:
    """For each label that occurs, the place of one of the items that carry it; by label."""
    shuffled = torch.randperm(len(label), device=label.device)
    named, place = torch.unique(label[shuffled], return_inverse=True)
    turns = torch.arange(len(label), device=label.device)
    first = torch.full_like(named, len(label)).scatter_reduce(0, place, turns, "amin")
    return shuffled[first]

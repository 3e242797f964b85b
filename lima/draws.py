"""Chance inside a step, from torch's own source on the CPU, which the loop seeds anew every step.

Offers `drawn`, `some` and `one_of_each`. Whatever device the answer is for, it is the same.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def drawn(n: int, most: int, device: torch.device) -> Int[Tensor, " drawn"]:
    """At most so many of the numbers below `n`, each equally likely; all, in order, if they fit."""
    if n <= most:
        return torch.arange(n, device=device)
    return torch.randperm(n)[:most].to(device)


def some(items: Int[Tensor, " items"], most: int) -> Int[Tensor, " drawn"]:
    """At most so many of `items`, each equally likely; all of them, as they stand, if they fit."""
    return items[drawn(len(items), most, items.device)]


def one_of_each(label: Int[Tensor, " items"]) -> Int[Tensor, " labels"]:
    """For each label that occurs, the place of one of the items that carry it; by label."""
    shuffled = torch.randperm(len(label)).to(label.device)
    named, place = torch.unique(label[shuffled], return_inverse=True)
    turns = torch.arange(len(label), device=label.device)
    first = torch.full_like(named, len(label)).scatter_reduce(0, place, turns, "amin")
    return shuffled[first]

"""How far scores spread over seeds, and whether two spreads leave a winner. Pure.

Offers `Spread`, `summarise`, `apart` and `paired_difference`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of `n` scores.

    Attributes:
        mean: In the scores' unit.
        std: With n - 1 in the denominator; None for a single score, whose spread nobody knows.
        n: How many scores.
    """

    mean: float
    std: float | None
    n: int


def summarise(values: Iterable[float]) -> Spread | None:
    """Mean and spread of `values`, None when there are none; their order changes no bit."""
    scores = sorted(values)
    if not scores:
        return None
    mean = math.fsum(scores) / len(scores)
    std = statistics.stdev(scores) if len(scores) > 1 else None
    return Spread(mean, std, len(scores))


def apart(one: Spread, other: Spread) -> bool:
    """Whether mean ± std of both do not overlap; never so while either spread is unknown."""
    if one.std is None or other.std is None:
        return False
    return abs(one.mean - other.mean) > one.std + other.std


def paired_difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Spread of ``ours - theirs`` over the seeds that both have, None when they share none."""
    return summarise(ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys())

"""Who stands or walks together: formats with a class for groups of people ask for it.

Offers `grouped`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lima_bench.datasets.world.recording import Annotation

TOGETHER_M = 1.2
"""From middle to middle; people who are nearer to each other are annotated as one group."""


def grouped(annotations: Sequence[Annotation]) -> frozenset[int]:
    """Numbers of the people who have another person within `TOGETHER_M`."""
    people = [box for box in annotations if box.category.startswith("human.pedestrian")]
    if len(people) < 2:
        return frozenset()
    places = np.array([box.centre[:2] for box in people])
    apart_m = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart_m, np.inf)
    near = apart_m.min(axis=1) < TOGETHER_M
    return frozenset(box.instance for box, is_near in zip(people, near, strict=True) if is_near)

"""What DAPS-3D calls the world's classes: SemanticKITTI's ids, without instances.

Offers `RAW` (DAPS-2) and `RAW_DAPS1`, by world class id.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Int64
from lima_bench.datasets.world.labels import KITTI_RAW

RAW: Int64 = KITTI_RAW
"""DAPS-2: the ids of what stands still; the set does not tell what moves."""


def _merged() -> Int64:
    """The only ids that occur in DAPS-1: one for each class that its authors score."""
    ids = Card.beside(__file__).variant("daps1").remap(KITTI_RAW)
    named = np.full(IGNORE + 1, 0)
    named[:4] = (10, 30, 40, 50)
    merged: Int64 = named[ids].astype(np.int64)
    return merged


RAW_DAPS1: Int64 = _merged()
"""DAPS-1: 10 vehicle, 30 human, 40 surface, 50 obstacle, 0 everything else."""

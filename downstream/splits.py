"""By what a score is split: range, seen or not, moving or not, and the data set's conditions.

Offers `SPLITS` and `masks_of`. Methods differ most where no camera looks and where things move.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Bool, Sample
from lima_bench.lima.pairs import project

RANGES_M = {"0_20m": (0.0, 20.0), "20_40m": (20.0, 40.0), "40m_up": (40.0, np.inf)}
"""Bands of horizontal distance from the LiDAR; each includes its lower bound."""

SPLITS = (*RANGES_M, "seen", "unseen", "moving", "static")
"""The splits of every data set; without cameras or motion it cannot tell the last four. A card's
`conditions` (SemanticSTF: weather) are splits of that data set beside them."""


def masks_of(sample: Sample) -> dict[str, Bool]:
    """For each split that the sample can tell, which of its points belong to it."""
    distance = np.hypot(sample.points[:, 0], sample.points[:, 1])
    masks: dict[str, Bool] = {
        name: (distance >= low) & (distance < high) for name, (low, high) in RANGES_M.items()
    }
    if sample.cameras and sample.lidar_to_global is not None:
        seen = np.zeros(len(sample.points), dtype=bool)
        seen[project(sample, rounding="round").point] = True
        masks |= {"seen": seen, "unseen": ~seen}
    if sample.condition:
        masks[sample.condition] = np.ones(len(sample.points), dtype=bool)
    if sample.moving is not None:
        masks |= {"moving": sample.moving, "static": ~sample.moving}
    return masks

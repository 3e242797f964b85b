"""The light pulse of a LiDAR and how much of its way the receiver sees.

Offers `SPEED_OF_LIGHT_M_S`, `overlap` and `half_wave`. The pulse is a squared half wave of sine
(R. H. Rasshofer et al., Influences of weather phenomena on automotive laser radar systems,
Adv. Radio Sci. 2011), as in M. Hahner et al., ICCV 2021 (fog) and CVPR 2022 (snow).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float64

SPEED_OF_LIGHT_M_S = 299_792_458.0

OVERLAP_STARTS_M, OVERLAP_FULL_M = 0.9, 1.0
"""Where the receiver begins to see the emitted beam, and where it sees all of it (Hahner 2021)."""


def overlap(ranges_m: npt.NDArray[np.floating[Any]]) -> Float64:
    """Share of the beam at these distances that the receiver sees, 0..1."""
    width = OVERLAP_FULL_M - OVERLAP_STARTS_M
    seen: Float64 = np.clip((ranges_m - OVERLAP_STARTS_M) / width, 0.0, 1.0)
    return seen


def half_wave(share: npt.NDArray[np.floating[Any]]) -> Float64:
    """Power of the pulse at these shares of its duration; 1 in its middle, 0 outside."""
    inside = (share >= 0) & (share <= 1)
    power: Float64 = np.where(inside, np.sin(np.pi * share) ** 2, 0.0)
    return power

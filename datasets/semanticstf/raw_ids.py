"""What SemanticSTF calls the world's classes.

Offers `RAW` and `INVALID`. Its ids are the SemanticKITTI classes in order, from 1.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import IGNORE, Int64
from lima_bench.datasets.world.labels import SCORED_19, Label

INVALID = 20
"""Returns from snow, fog and rain, and other points that are no surface."""

RAW: Int64 = np.where(SCORED_19 == IGNORE, 0, SCORED_19 + 1)
"""Raw id by world class id; 0 is unlabeled."""
RAW[[Label.FOG, Label.SNOW, Label.RAIN, Label.NOISE]] = INVALID

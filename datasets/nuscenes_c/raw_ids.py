"""What nuScenes-C calls the world's classes.

Offers `RAW`: the clean set's ids; 41, 42 and 43 come from the corruptions alone.
"""

from __future__ import annotations

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import NUSCENES_RAW

RAW: Int64 = NUSCENES_RAW
"""Raw id by world class id."""

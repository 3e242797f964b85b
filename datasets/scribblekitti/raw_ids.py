"""What ScribbleKITTI calls the world's classes: the same as SemanticKITTI.

Offers `RAW` and `MOVING_RAW`, raw ids by world class id for what stands still and what moves.
"""

from __future__ import annotations

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import KITTI_MOVING_RAW, KITTI_RAW

RAW: Int64 = KITTI_RAW
MOVING_RAW: Int64 = KITTI_MOVING_RAW

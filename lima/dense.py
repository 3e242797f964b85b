"""A denser cloud: a keyframe's scan and the sweeps before it, in the keyframe's LiDAR frame.

Offers `densified`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Sample, Sweep


def densified(sample: Sample, sweeps: Sequence[Sweep]) -> Sample:
    """`sample` with the points of `sweeps` behind its own; images and pose stay the keyframe's.

    What moved between a sweep and the keyframe leaves a trace: only the car's motion is undone.

    Args:
        sample: With a pose; annotations of its points are dropped.
        sweeps: Each with its own pose.
    """
    assert sample.lidar_to_global is not None  # the loader refuses frames without one
    to_keyframe = inverse(sample.lidar_to_global)
    carried = [
        apply(to_keyframe @ sweep.lidar_to_global, sweep.points).astype(np.float32)
        for sweep in sweeps
    ]
    return replace(
        sample,
        points=np.concatenate([sample.points, *carried]),
        intensity=np.concatenate([sample.intensity, *(sweep.intensity for sweep in sweeps)]),
        labels=None,
        moving=None,
        ring=None,
        time_s=None,
    )

"""Which points of two registered scans are the same place: Batch -> matches -> method.

Offers `PointMatches` and `registered_matches`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.datasets.sample import Float32
from lima_bench.lima.align import PlacedCloud, nearest
from lima_bench.lima.batch import Batch, Scan


@dataclass(frozen=True)
class PointMatches:
    """Points of the step's frames with their partners in the scans that accompany them.

    Attributes:
        point: Row of `Batch.xyz`; each once per accompanying scan.
        partner: The nearest point of that scan, likewise.
    """

    point: Int[Tensor, " matches"]
    partner: Int[Tensor, " matches"]


def registered_matches(batch: Batch, radius_m: float) -> PointMatches:
    """For each point of a frame the nearest of each scan beside it, once poses are undone.

    Un-augmented points are compared, on the CPU: where they lie has nothing to do with weights.

    Args:
        batch: Its scans accompany each other as `lima_bench.lima.company` has it.
        radius_m: Partners farther away do not count.
    """
    xyz = batch.xyz.detach().float().cpu().numpy()
    columns = [np.zeros((2, 0), dtype=np.int64)]
    for number, other in enumerate(batch.scans):
        if other.anchor == number or other.dense:
            continue
        scan = batch.scans[other.anchor]
        found = nearest(_placed(xyz, scan), _placed(xyz, other), radius_m).astype(np.int64)
        met = np.flatnonzero(found >= 0)
        columns.append(np.stack([scan.start + met, other.start + found[met]]))
    point, partner = torch.from_numpy(np.concatenate(columns, axis=1)).to(batch.xyz.device)
    return PointMatches(point, partner)


def _placed(xyz: Float32, scan: Scan) -> PlacedCloud:
    return PlacedCloud(xyz[scan.start : scan.stop], scan.lidar_to_global.double().cpu().numpy())

"""Which past point is nearest to each current one, once the car's own motion is undone.

Offers `PlacedCloud` and `Aligner`. Distances are float64 and, poses being rigid, the same in any
frame: current points are carried into the past frame, whose search tree is built once and serves
every later frame. The answer is a pure function of data that comes again every epoch, so it is
remembered up to a fixed amount of memory. Neither what is remembered nor the number of threads
(torch's) changes a number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

MEMO_BYTES = 128 * 2**20


@dataclass(frozen=True)
class PlacedCloud:
    """Points with the place they were seen from.

    Attributes:
        xyz: (N, 3) float32, metres, LiDAR frame.
        lidar_to_global: (4, 4) float64, rigid.
    """

    xyz: npt.NDArray[np.float32]
    lidar_to_global: npt.NDArray[np.float64]

    @cached_property
    def digest(self) -> bytes:
        """Of points and pose."""
        state = hashlib.blake2b(np.ascontiguousarray(self.xyz).tobytes(), digest_size=16)
        state.update(np.ascontiguousarray(self.lidar_to_global).tobytes())
        return state.digest()

    @cached_property
    def tree(self) -> cKDTree:
        """For nearest-neighbour search in the LiDAR frame."""
        xyz = self.xyz.astype(np.float64)
        return cKDTree(xyz, balanced_tree=False, compact_nodes=False)


class Aligner:
    """Nearest neighbours within a radius, from one frame into an earlier one.

    Args:
        radius_m: Farther neighbours do not count; a neighbour at exactly this distance does.
        memo_bytes: Room for remembered answers. What came first stays: walking an epoch that is
            longer than the room, a cache that drops the oldest would never be right.
    """

    def __init__(self, radius_m: float, memo_bytes: int = MEMO_BYTES) -> None:
        self.radius_m = radius_m
        self.room = memo_bytes
        self._memo: dict[tuple[bytes, bytes], npt.NDArray[np.int32]] = {}

    def nearest(self, current: PlacedCloud, past: PlacedCloud) -> npt.NDArray[np.int32]:
        """For each current point the past point nearest to it, or -1 if none is near enough."""
        key = (current.digest, past.digest)
        found = self._memo.get(key)
        if found is None:
            found = self._search(current, past)
            if found.nbytes <= self.room:
                self._memo[key] = found
                self.room -= found.nbytes
        return found

    def _search(self, current: PlacedCloud, past: PlacedCloud) -> npt.NDArray[np.int32]:
        n_past = len(past.xyz)
        if n_past == 0 or len(current.xyz) == 0:
            return np.full(len(current.xyz), -1, dtype=np.int32)
        carry = np.linalg.solve(past.lidar_to_global, current.lidar_to_global)
        points = current.xyz.astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
        beyond = np.nextafter(self.radius_m, np.inf)  # the search leaves its bound out
        _, index = past.tree.query(
            points, distance_upper_bound=beyond, workers=torch.get_num_threads()
        )
        return np.where(index < n_past, index, -1).astype(np.int32)

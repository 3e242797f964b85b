"""What a scan shows, what the memory keeps of it, and what a kept frame lends to another scan.

Batch -> `glance` -> `Glance.keyframe` -> `lima_bench.lima.memory` -> `recalled` ->
`lima_bench.lima.propagation`. The three rules of alignment (methods-temporal 3.4) are told apart
here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.align import PlacedCloud, nearest, voxel_rows
from lima_bench.lima.batch import Batch, PairIndex, Scan
from lima_bench.lima.cross_view import Sight, observe
from lima_bench.lima.memory import Keyframe
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.propagation import Past
from lima_bench.lima.reproject import Gaze
from lima_bench.lima.tree import to_device


@dataclass(frozen=True)
class Glance:
    """One scan of a batch and what its cameras say.

    Attributes:
        scan: Where and when.
        xyz: Its points, un-augmented, LiDAR frame.
        now: What the cameras say about them.
        gaze: How the cameras look, if that is what the memory keeps.
    """

    scan: Scan
    xyz: Float[Tensor, "points 3"]
    now: Sight
    gaze: Gaze | None = None

    def keyframe(self) -> Keyframe:
        """What the memory keeps: seen points with their features, or images with their cameras."""
        pose = self.scan.lidar_to_global.double()
        if self.gaze is None:
            sight = self.now.once()
            return Keyframe(self.xyz[sight.point], pose, sight.packed())
        nothing = self.now.take(self.now.point[:0])
        images = replace(nothing, grids=self.now.grids[self.gaze.cells].half())
        return Keyframe(self.xyz[:0], pose, images, self.gaze)


def glance(
    batch: Batch,
    number: int,
    grids: Float[Tensor, "images h w width"],
    settings: LimaSettings,
) -> Glance:
    """The scan of that number, its cameras unified; hidden points count as unseen if asked for."""
    scan, size = batch.scans[number], batch.images.size
    xyz, pairs = batch.xyz[scan.start : scan.stop], _pairs_of(batch.pairs, scan)
    by_projection = settings.align == "reproject"
    gaze = None
    if by_projection or settings.occlusion == "zbuffer":
        gaze = Gaze.of(batch.images, number, (grids.shape[1], grids.shape[2]))
    if gaze is not None and settings.occlusion == "zbuffer":
        gaze = gaze.with_depths(xyz, pairs)
        pairs = gaze.front(xyz, pairs)
    now = observe(grids, pairs, size, settings.cva)
    return Glance(scan, xyz, now, gaze if by_projection else None)


def recalled(ours: Glance, index: int, frame: Keyframe, settings: LimaSettings) -> Past:
    """What a kept frame lends to a scan.

    Args:
        ours: The scan that asks.
        index: Position of the kept frame in the recording.
        frame: What was kept.
        settings: `align` and its parameters are read.
    """
    device = ours.xyz.device
    age, sight = abs(ours.scan.index - index), frame.sight.on(device)
    if frame.gaze is not None:
        return _by_projection(ours, age, replace(frame, sight=sight), frame.gaze, settings)
    if settings.align == "nn":
        return Past(age, sight, _nearest(ours, index, frame, settings.radius_m))
    then = _placed(frame.xyz, frame.lidar_to_global)
    group, rows, n_groups = voxel_rows(_cloud(ours), then, settings.voxel_m)
    means = sight.averaged(torch.from_numpy(group).to(device), n_groups)
    return Past(age, means, torch.from_numpy(rows).to(device))


def _by_projection(
    ours: Glance, age: int, frame: Keyframe, gaze: Gaze, settings: LimaSettings
) -> Past:
    """The kept images at the places where the scan's points would have been, cameras unified."""
    device = ours.xyz.device
    here = ours.scan.lidar_to_global.double()
    carry = torch.linalg.solve(frame.lidar_to_global.to(device), here)
    pairs = to_device(gaze, device).pairs(ours.xyz, carry)
    kept = frame.sight.grids  # observed in full precision, lent in half: what is held stays small
    wide = kept.to(ours.now.grids.dtype).reshape(-1, *gaze.grid, kept.shape[1])
    found = observe(wide, pairs, gaze.size, settings.cva).once()
    rows = torch.full((len(ours.xyz),), -1, dtype=torch.int64, device=device)
    rows[found.point] = torch.arange(len(found), device=device)
    return Past(age, replace(found, grids=kept), rows)


def _nearest(ours: Glance, index: int, frame: Keyframe, radius_m: float) -> Int[Tensor, " points"]:
    """Where the scan's points lie in a past frame: as the loader found, or searched for now."""
    known = ours.scan.matches
    if known is not None and index in known.indices:
        return known.rows[known.indices.index(index)]
    then = _placed(frame.xyz, frame.lidar_to_global)
    return torch.from_numpy(nearest(_cloud(ours), then, radius_m)).to(ours.xyz.device)


def _cloud(ours: Glance) -> PlacedCloud:
    return _placed(ours.xyz, ours.scan.lidar_to_global)


def _placed(xyz: Float[Tensor, "points 3"], lidar_to_global: Float[Tensor, "4 4"]) -> PlacedCloud:
    return PlacedCloud(xyz.float().cpu().numpy(), lidar_to_global.double().cpu().numpy())


def _pairs_of(pairs: PairIndex, scan: Scan) -> PairIndex:
    """The pairs of one scan, whose points count from 0."""
    ours = torch.nonzero((pairs.point >= scan.start) & (pairs.point < scan.stop)).squeeze(1)
    found = pairs.at(ours)
    return replace(found, point=found.point - scan.start)

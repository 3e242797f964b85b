"""Which points the student sees: scans of a batch -> `ViewPlan` -> `lima.batching`.

Offers `ScanInput`, `View`, `ViewPlan`, `plain_plan` and `plan_views`. A method class may have a
static ``plan_views(settings, scans, rng)``; without one, every scan is one view with all its
points. Numpy only, and blind to labels: plans are made from coordinates and pairs, in the
loader's workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.lima.pairs import Pairs
from lima_bench.lima.recipes import Settings


@dataclass(frozen=True)
class ScanInput:
    """One scan of a batch, before augmentation.

    Attributes:
        xyz: (N, 3) float32, metres, LiDAR frame.
        sequence: The recording it belongs to.
        pairs: Its point-pixel pairs in the resized images; `Pairs.point` counts rows of `xyz`.
        anchor: Number of the scan that it accompanies (`lima_bench.lima.company`); its own number,
            or None, for a frame of the step.
        offset: Keyframes after its anchor.
        dense: Whether earlier sweeps are among its points. Its images are those of its anchor.
    """

    xyz: npt.NDArray[np.float32]
    sequence: str
    pairs: Pairs
    anchor: int | None = None
    offset: int = 0
    dense: bool = False


@dataclass(frozen=True)
class View:
    """One cloud for the student, put together from points of scans.

    Attributes:
        parts: (scan number, int64 point indices) one after the other; concatenated in this order.
        whole: Whether no cuboid may be cut out of it.
        again: The number of an earlier view with the same parts that this one shows once more:
            what was cut out of that is missing here, and nothing else is cut.
    """

    parts: tuple[tuple[int, npt.NDArray[np.int64]], ...]
    whole: bool = False
    again: int | None = None

    def without(self, kept: npt.NDArray[np.int64]) -> View:
        """What is left of it if only some of its rows, in ascending order, are kept."""
        starts = np.cumsum([0, *(len(points) for _, points in self.parts)])
        bounds = np.searchsorted(kept, starts)
        parts = (
            (scan, points[kept[first:last] - start])
            for (scan, points), start, first, last in zip(
                self.parts, starts, bounds, bounds[1:], strict=False
            )
        )
        return replace(self, parts=tuple(parts))


@dataclass(frozen=True)
class ViewPlan:
    """Everything that a step shows: clouds to the student, images to the teacher.

    Attributes:
        views: First one view per scan, in scan order, then mixed ones or second looks.
        cameras: Per scan, the camera numbers whose images and pairs are kept; None keeps all, ()
            none. A dense cloud keeps those of its anchor, whatever stands here.
    """

    views: tuple[View, ...]
    cameras: tuple[tuple[int, ...] | None, ...]


def plain_plan(scans: Sequence[ScanInput]) -> ViewPlan:
    """Every scan is one view with all its points, and every camera is kept."""
    views = tuple(
        View(((number, np.arange(len(scan.xyz), dtype=np.int64)),))
        for number, scan in enumerate(scans)
    )
    return ViewPlan(views, (None,) * len(scans))


def plan_views(
    method: type, settings: Settings, scans: Sequence[ScanInput], rng: np.random.Generator
) -> ViewPlan:
    """What `method` wants to be shown of these scans.

    Args:
        method: The method's class.
        settings: Its settings.
        scans: The scans of one batch, in order.
        rng: The only source of chance.
    """
    own: Any = getattr(method, "plan_views", None)
    plan: ViewPlan = plain_plan(scans) if own is None else own(settings, scans, rng)
    if len(plan.views) < len(scans) or len(plan.cameras) != len(scans):
        raise ValueError(
            f"{method.__name__}.plan_views: one view and one camera entry per scan are needed, "
            f"got {len(plan.views)} views and {len(plan.cameras)} entries for {len(scans)} scans"
        )
    return plan

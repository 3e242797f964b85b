"""A keyframe's scan and those before it as one cloud: Source -> `SweptPoints`.

Offers `SweptPoints`, `swept`, its two halves for those who come back to a frame (`scans_of` reads,
`drawn` chooses), `one_cloud`, and `check_sweeps` for those who read for hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import (
    Bool,
    Float32,
    Float64,
    Frame,
    Int64,
    Sample,
    Source,
    Sweep,
    Sweeps,
)
from lima_bench.downstream.detection.settings import DetectRecipe

DRAWN_FROM = 10
"""Latest sweeps among which a random choice draws: so many do mmdetection3d's info files list."""


class SweptPoints(NamedTuple):
    """Points of one or more scans.

    Attributes:
        points: (N, 3) metres, in the keyframe's LiDAR frame at the keyframe's time. Only the
            recording car's own motion is undone: what moves leaves a trace.
        intensity: (N,), as the file has it.
        lag_s: (N,) how long before the keyframe the scan was taken; 0 for its own points.
    """

    points: Float32
    intensity: Float32
    lag_s: Float32

    def only(self, rows: Int64 | Bool | slice) -> SweptPoints:
        """Some of them, by number, by mark or from one to another."""
        return SweptPoints(*(column[rows] for column in self))


def swept(
    source: Source,
    frame: Frame,
    sample: Sample,
    settings: DetectRecipe,
    rng: np.random.Generator,
) -> SweptPoints:
    """The points of a keyframe, in file order, and then those of the sweeps before it.

    Sweeps come latest first. Where a recording begins there are fewer, or none: the cloud is then
    thinner. mmdetection3d repeats the keyframe in the second case; the mean of a voxel, which is
    all that the network sees, would stay what it is, except that copies count towards the limit of
    points of a voxel. So nothing is repeated here.

    Args:
        source: Of the frame.
        frame: The keyframe.
        sample: What was loaded of it.
        settings: How many sweeps, which, and how near they are cut.
        rng: Source of a random choice; the latest ones take nothing from it.

    Raises:
        UserError: The data set has no sweeps or the frame no pose, or a file is broken.
    """
    return drawn(scans_of(source, frame, sample, settings), settings, rng)


def scans_of(
    source: Source, frame: Frame, sample: Sample, settings: DetectRecipe
) -> tuple[SweptPoints, ...]:
    """The scans that `drawn` chooses from: the keyframe's, then earlier ones, latest first.

    Raises:
        UserError: As `swept`.
    """
    own = SweptPoints(sample.points, sample.intensity, np.zeros(len(sample.points), np.float32))
    if not settings.sweeps:
        return (own,)
    reader = _reader(source, settings)
    if sample.lidar_to_global is None:
        raise UserError(
            f"frame {frame.id}",
            "It has no pose, so earlier scans cannot be brought to it.",
            "Set the recipe's `sweeps` to 0, or get the poses of this data set.",
        )
    wanted = settings.sweeps
    if settings.sweep_choice == "random":
        wanted = max(wanted, DRAWN_FROM)
    to_keyframe = inverse(sample.lidar_to_global)
    found = reader(frame, wanted)
    return own, *(_carried(sweep, to_keyframe, frame, settings.near_m) for sweep in found)


def check_sweeps(source: Source, settings: DetectRecipe) -> None:
    """Read one sweep of every recording: data sets come in parts, and parts are forgotten.

    Raises:
        UserError: The data set has no sweeps, or one is missing or broken.
    """
    if settings.sweeps:
        reader = _reader(source, settings)
        for frame in {frame.sequence: frame for frame in source.frames}.values():
            reader(frame, 1)


def drawn(
    scans: Sequence[SweptPoints], settings: DetectRecipe, rng: np.random.Generator
) -> SweptPoints:
    """One cloud of the keyframe and the sweeps that the settings choose; see `swept`."""
    own, *sweeps = scans
    if len(sweeps) > settings.sweeps and settings.sweep_choice == "random":
        chosen = np.sort(rng.choice(len(sweeps), settings.sweeps, replace=False))
        sweeps = [sweeps[number] for number in chosen]
    return one_cloud([own, *sweeps[: settings.sweeps]])


def one_cloud(parts: Sequence[SweptPoints]) -> SweptPoints:
    """The points of all parts, in order."""
    return SweptPoints(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _reader(source: Source, settings: DetectRecipe) -> Sweeps:
    if source.sweeps is None:
        raise UserError(
            f"{source.card.name}: sweeps",
            f"The recipe adds {settings.sweeps} sweeps to every keyframe; this data set has none.",
            "Set the recipe's `sweeps` to 0, or choose a data set with scans between keyframes.",
        )
    return source.sweeps


def _carried(sweep: Sweep, to_keyframe: Float64, frame: Frame, near_m: float) -> SweptPoints:
    """A sweep's points that are not on the car, in the keyframe's frame."""
    far = _not_near(sweep.points, near_m)
    points = apply(to_keyframe @ sweep.lidar_to_global, sweep.points[far]).astype(np.float32)
    lag_s = np.full(len(points), frame.timestamp_s - sweep.timestamp_s, dtype=np.float32)
    return SweptPoints(points, sweep.intensity[far], lag_s)


def _not_near(points: Float32, near_m: float) -> Bool:
    """Which points (N, 3) of a scan, in its own frame, are not near in both x and y."""
    far: Bool = (np.abs(points[:, :2]) >= near_m).any(axis=1)
    return far

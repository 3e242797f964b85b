"""The eight corruptions at three levels each of nuScenes-C, by name.  RawFrame -> RawFrame.

Offers `CORRUPTIONS`, `NAMES`, `LEVEL_NAMES`, `corrupted` and `noise_of`. Layout and severities: L.
Kong et al., Robo3D: Towards Robust and Reliable 3D Perception against Corruptions, ICCV 2023
(ldkong1205/Robo3D); each module says where its parameters were read and which are assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lima_bench.common.errors import unknown_name
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.corruptions import (
    beam_missing,
    cross_sensor,
    crosstalk,
    fog,
    incomplete_echo,
    motion_blur,
    snow,
    wet_ground,
)
from lima_bench.datasets.corruptions.frame import RawFrame


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        corrupt: Pure: frame, one of `levels`, random numbers.
        levels: Parameters by level.
        keeps_ring: Whether the fifth column of the result still is the beam's number.
    """

    corrupt: Callable[[RawFrame, Any, np.random.Generator], RawFrame]
    levels: Mapping[str, Any]
    keeps_ring: bool = True


CORRUPTIONS: Mapping[str, Corruption] = {
    "fog": Corruption(fog.corrupt, fog.LEVELS),
    "wet_ground": Corruption(wet_ground.corrupt, wet_ground.LEVELS),
    "snow": Corruption(snow.corrupt, snow.LEVELS, keeps_ring=False),
    "motion_blur": Corruption(motion_blur.corrupt, motion_blur.LEVELS),
    "beam_missing": Corruption(beam_missing.corrupt, beam_missing.LEVELS),
    "crosstalk": Corruption(crosstalk.corrupt, crosstalk.LEVELS),
    "incomplete_echo": Corruption(incomplete_echo.corrupt, incomplete_echo.LEVELS),
    "cross_sensor": Corruption(cross_sensor.corrupt, cross_sensor.LEVELS),
}
"""In the order of the published tables."""

NAMES = tuple(CORRUPTIONS)
LEVEL_NAMES = ("light", "moderate", "heavy")


def corrupted(frame: RawFrame, corruption: str, level: str, rng: np.random.Generator) -> RawFrame:
    """The frame under a corruption; `frame` itself stays as it is.

    Raises:
        UserError: There is no such corruption or level.
    """
    if corruption not in CORRUPTIONS:
        raise unknown_name("nuScenes-C", "corruption", corruption, CORRUPTIONS)
    kind = CORRUPTIONS[corruption]
    if level not in kind.levels:
        raise unknown_name(f"nuScenes-C {corruption}", "level", level, kind.levels)
    return kind.corrupt(frame, kind.levels[level], rng)


def noise_of(seed: int, corruption: str, level: str, token: str) -> np.random.Generator:
    """Random numbers that belong to one frame under one corruption, whoever asks and when."""
    return np.random.default_rng(derive_seed(seed, "nuscenes_c", corruption, level, token))

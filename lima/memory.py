"""LiMA's second idea: a first-in-first-out bank of what earlier keyframes looked like.

Offers `Keyframe` and `MemoryBank`. A bank follows any number of walks through recordings, one or
more per batch row, and never crosses from one recording into another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.align import PlacedCloud


@dataclass(frozen=True)
class Keyframe:
    """One frame as the bank keeps it.

    Attributes:
        index: Position in its recording.
        cloud: The points that cameras saw, un-augmented, with the frame's pose.
        features: The teacher's unified feature of each, float16.
    """

    index: int
    cloud: PlacedCloud
    features: Float[Tensor, "points width"]


@dataclass(frozen=True)
class _Walk:
    """One way through one recording, with its newest frames, oldest first.

    Attributes:
        continued: Whether the step that is being taken has added to it.
    """

    sequence: str
    frames: tuple[Keyframe, ...]
    continued: bool = True


class MemoryBank(nn.Module):
    """The last keyframes of every recording that is being walked.

    It is module state: a saved and restored bank continues bit for bit. Every process keeps its
    own, for its own streams.

    Args:
        length: Past frames kept per walk; 0 keeps nothing.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self._walks: list[_Walk] = []

    def visit(self, sequence: str, frame: Keyframe) -> tuple[Keyframe, ...]:
        """Take a frame in and hand out the earlier ones of its walk, oldest first.

        The frame continues the walk through its recording whose newest frame precedes it most
        closely. If none does, because the recording begins, begins anew or was gone back in, a new
        walk starts and there are no earlier frames. So two streams may walk one recording at once.
        """
        if self.length == 0:
            return ()
        walk = max(
            (
                walk
                for walk in self._walks
                if walk.sequence == sequence and walk.frames[-1].index < frame.index
            ),
            key=lambda walk: walk.frames[-1].index,
            default=_Walk(sequence, ()),
        )
        self._walks = [other for other in self._walks if other is not walk]
        self._walks.append(_Walk(sequence, (*walk.frames, frame)[-self.length :]))
        return walk.frames

    def end_step(self) -> None:
        """Forget every walk that the step did not continue: it is over."""
        self._walks = [replace(walk, continued=False) for walk in self._walks if walk.continued]

    def get_extra_state(self) -> list[dict[str, Any]]:
        """Plain containers and tensors, loadable with ``weights_only=True``."""
        return [
            {
                "sequence": walk.sequence,
                "index": frame.index,
                "newest": frame is walk.frames[-1],
                "xyz": torch.from_numpy(frame.cloud.xyz),
                "lidar_to_global": torch.from_numpy(frame.cloud.lidar_to_global),
                "features": frame.features,
            }
            for walk in self._walks
            for frame in walk.frames
        ]

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        """Continue with the walks of `get_extra_state`."""
        self._walks, frames = [], []
        for entry in state:
            places = (entry[name].cpu().numpy() for name in ("xyz", "lidar_to_global"))
            frames.append(Keyframe(entry["index"], PlacedCloud(*places), entry["features"]))
            if entry["newest"]:
                self._walks.append(_Walk(entry["sequence"], tuple(frames), continued=False))
                frames = []

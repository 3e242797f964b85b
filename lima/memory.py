"""LiMA's second idea: a first-in-first-out bank of what earlier keyframes looked like.

Offers `Keyframe` and `MemoryBank`. A bank follows any number of walks through recordings, one or
more per batch row, and never crosses from one recording into another (`lima_bench.lima.walks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.cross_view import Sight
from lima_bench.lima.reproject import Gaze
from lima_bench.lima.walks import Walk, Walks


@dataclass(frozen=True)
class Keyframe:
    """One frame as the bank keeps it.

    Attributes:
        xyz: The points that cameras saw, un-augmented, metres, LiDAR frame; none where `gaze`.
        lidar_to_global: The frame's pose, float64.
        sight: What the cameras said about each, one row per point, grids in float16.
        gaze: How the cameras looked, where points of other frames are to be found in the images:
            then `Sight.grids` holds all of their cells.
    """

    xyz: Float[Tensor, "points 3"]
    lidar_to_global: Float[Tensor, "4 4"]
    sight: Sight
    gaze: Gaze | None = None


class MemoryBank(nn.Module):
    """The last keyframes of every recording that is being walked.

    It is module state: a saved and restored bank continues bit for bit. Every process keeps its
    own, for its own streams.

    Args:
        length: Past frames handed out per walk; 0 keeps nothing.
        stride: Only every so manieth frame, counted back from the current one, is handed out.
    """

    def __init__(self, length: int, stride: int = 1) -> None:
        super().__init__()
        self.length = length
        self._walks: Walks[Keyframe] = Walks(length, stride)

    def visit(self, sequence: str, index: int, frame: Keyframe) -> tuple[tuple[int, Keyframe], ...]:
        """Take a frame in; hand out the earlier ones of its walk with their positions."""
        return self._walks.visit(sequence, index, frame)

    def end_step(self) -> None:
        """Forget every walk that the step did not continue: it is over."""
        self._walks.end_step()

    def get_extra_state(self) -> list[dict[str, Any]]:
        """Plain containers and tensors, loadable with ``weights_only=True``."""
        return [
            {
                "sequence": walk.sequence,
                "index": index,
                "newest": index == walk.newest,
                "xyz": frame.xyz,
                "lidar_to_global": frame.lidar_to_global,
                "sight": vars(frame.sight).copy(),
                "gaze": None if frame.gaze is None else vars(frame.gaze).copy(),
            }
            for walk in self._walks
            for index, frame in walk.frames
        ]

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        """Continue with the walks of `get_extra_state`."""
        walks: list[Walk[Keyframe]] = []
        frames: list[tuple[int, Keyframe]] = []
        for entry in state:
            gaze = None if entry["gaze"] is None else Gaze(**entry["gaze"])
            sight = Sight(**entry["sight"])
            frame = Keyframe(entry["xyz"], entry["lidar_to_global"], sight, gaze)
            frames.append((entry["index"], frame))
            if entry["newest"]:
                walks.append(Walk(entry["sequence"], tuple(frames)))
                frames = []
        self._walks.restore(walks)

"""Which frames a step looks at: pure functions of (seed, step, rank).

Offers `Shuffled`, every epoch a new permutation, and `Streams`, in which every place of the batch
walks through recordings in time, for methods that remember. Both show a frame at most once an
epoch. A card says which of them a method wants; where that hangs on its settings, the method has a
static ``order(settings)``, which `order_of` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Frame, Int64
from lima_bench.lima.methods.card import OrderKind
from lima_bench.lima.recipes import Settings


@dataclass(frozen=True)
class Share:
    """How a step's frames are dealt out.

    Attributes:
        batch_size: Frames per rank and step.
        rank: Of this process.
        world_size: Number of processes.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1

    @property
    def per_step(self) -> int:
        """Frames of all ranks in one step."""
        return self.batch_size * self.world_size


class Order(Protocol):
    """Says which frames belong to a step."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps until frames come again."""

    def frames_of(self, step: int) -> Int64:
        """Numbers of the frames of this rank's batch."""


@dataclass(frozen=True)
class Shuffled:
    """A permutation per epoch; what does not fill the last batch is left out.

    Fewer frames than one batch make batches of all frames, rather than none.

    Attributes:
        n_frames: Frames to choose from.
        share: How they are dealt out.
        seed: Of the permutations.
    """

    n_frames: int
    share: Share
    seed: int

    def __post_init__(self) -> None:
        """Refuse fewer frames than ranks."""
        _at_least(self.n_frames, self.share.world_size)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the list, at least one."""
        return max(1, self.n_frames // self.share.per_step)

    def frames_of(self, step: int) -> Int64:
        """Numbers of the frames of this rank's batch."""
        epoch, number = divmod(step, self.steps_per_epoch)
        dealt = _permutation(self.n_frames, derive_seed(self.seed, "order", epoch))
        of_step = dealt[number * self.share.per_step : (number + 1) * self.share.per_step]
        ours: Int64 = of_step[self.share.rank :: self.share.world_size]
        return ours


@dataclass(frozen=True)
class Streams:
    """Lanes that walk in time: the recordings' order is drawn anew each epoch, never the frames'.

    All frames, recording after recording, are cut into (ranks x batch) lanes of equal length; a
    lane that begins within a recording starts with an empty memory there. The few frames that do
    not fill the lanes are left out.

    Attributes:
        starts: First frame of each recording, and the number of frames at the end.
        share: How the lanes are dealt out.
        seed: Of the order of recordings.
    """

    starts: tuple[int, ...]
    share: Share
    seed: int

    @classmethod
    def of(cls, frames: Sequence[Frame], share: Share, seed: int) -> Streams:
        """Streams over `frames`, whose recordings lie one after the other in time order.

        Raises:
            UserError: There are fewer frames than lanes, or a recording is torn apart.
        """
        _at_least(len(frames), share.per_step)
        names = [frame.sequence for frame in frames]
        changes = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
        firsts = [0, *changes]
        if len({names[i] for i in firsts}) != len(firsts):
            raise UserError(
                "frames", "A recording's frames do not lie together.", "Sort the data set's frames."
            )
        return cls((*firsts, len(frames)), share, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Length of a lane."""
        return self.starts[-1] // self.share.per_step

    def frames_of(self, step: int) -> Int64:
        """Numbers of the frames of this rank's batch: one per lane."""
        epoch, place = divmod(step, self.steps_per_epoch)
        walk = _walk(self.starts, derive_seed(self.seed, "order", epoch))
        lanes = self.share.rank * self.share.batch_size + np.arange(self.share.batch_size)
        frames: Int64 = walk[lanes * self.steps_per_epoch + place]
        return frames


def order_of(method: type[Any], settings: Settings, usual: OrderKind) -> OrderKind:
    """The order that `method` asks for; the `usual` one, its card's, if it does not say."""
    own: Any = getattr(method, "order", None)
    wanted: OrderKind = usual if own is None else own(settings)
    return wanted


def make_order(kind: OrderKind, frames: Sequence[Frame], share: Share, seed: int) -> Order:
    """The order that a method asks for.

    Raises:
        UserError: There are too few frames.
    """
    if kind == "streams":
        return Streams.of(frames, share, seed)
    return Shuffled(len(frames), share, seed)


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int) -> Int64:
    order: Int64 = np.random.default_rng(seed).permutation(n)
    return order


@lru_cache(maxsize=4)
def _walk(starts: tuple[int, ...], seed: int) -> Int64:
    """All frames, recordings in random order, frames of each in time order."""
    recordings = np.random.default_rng(seed).permutation(len(starts) - 1)
    walk: Int64 = np.concatenate([np.arange(starts[r], starts[r + 1]) for r in recordings])
    return walk


def _at_least(n_frames: int, wanted: int) -> None:
    if n_frames < max(wanted, 1):
        raise UserError(
            "frames",
            f"There are {n_frames} frames, but every step needs at least {wanted}.",
            "Take a larger split or share, a smaller batch_size, or fewer devices.",
        )

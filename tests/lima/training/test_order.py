"""Which frames a step looks at: every frame at most once an epoch, lanes in time order."""

from itertools import pairwise

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Frame
from lima_bench.lima.order import Share, Shuffled, Streams, make_order


def _frames(*lengths: int) -> list[Frame]:
    return [
        Frame(f"{name}/{index}", f"drive-{name}", index, float(index))
        for name, length in enumerate(lengths)
        for index in range(length)
    ]


def _epoch(kind: str, frames: list[Frame], share: Share, epoch: int, seed: int = 0) -> np.ndarray:
    """(steps, ranks, batch) of one epoch."""
    ranks = [Share(share.batch_size, rank, share.world_size) for rank in range(share.world_size)]
    orders = [make_order(kind, frames, one, seed) for one in ranks]
    per_epoch = orders[0].steps_per_epoch
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    return np.array([[order.frames_of(step) for order in orders] for step in steps])


@pytest.mark.parametrize("kind", ["shuffled", "streams"])
@pytest.mark.parametrize(("lengths", "batch", "world"), [((8, 5, 9), 3, 1), ((4,) * 6, 2, 3)])
def test_every_frame_at_most_once_an_epoch(kind, lengths, batch, world) -> None:
    frames, share = _frames(*lengths), Share(batch, 0, world)
    for epoch in range(3):
        shown = _epoch(kind, frames, share, epoch).ravel()
        assert len(set(shown)) == len(shown) == len(frames) // share.per_step * share.per_step


@pytest.mark.parametrize("kind", ["shuffled", "streams"])
def test_epochs_and_seeds_differ_but_a_step_never_does(kind) -> None:
    frames, share = _frames(*(3,) * 12), Share(4)
    first = _epoch(kind, frames, share, 0)
    assert not np.array_equal(first, _epoch(kind, frames, share, 1))
    assert not np.array_equal(first, _epoch(kind, frames, share, 0, seed=1))
    order = make_order(kind, frames, share, 0)
    backwards = [order.frames_of(step) for step in reversed(range(len(first)))]
    assert np.array_equal(first[:, 0], backwards[::-1])


@pytest.mark.parametrize(("batch", "world"), [(1, 1), (3, 1), (2, 2)])
def test_every_lane_walks_in_time(batch, world) -> None:
    frames = _frames(7, 4, 9, 6, 8)
    shown = _epoch("streams", frames, Share(batch, 0, world), 2)
    for lane in shown.reshape(len(shown), -1).T:
        walk = [frames[number] for number in lane]
        for before, after in pairwise(walk):
            if before.sequence == after.sequence:
                assert after.index == before.index + 1
            else:
                assert after.index == 0


def test_one_lane_walks_whole_recordings() -> None:
    frames = _frames(3, 2, 4)
    lane = _epoch("streams", frames, Share(1), 0).ravel()
    assert sorted(lane) == list(range(9))
    assert sum(frames[number].index == 0 for number in lane) == 3


def test_fewer_frames_than_a_batch_make_one_batch_of_all() -> None:
    order = Shuffled(3, Share(8), seed=0)
    assert order.steps_per_epoch == 1
    assert sorted(order.frames_of(0)) == sorted(order.frames_of(5)) == [0, 1, 2]


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(UserError, match="0 frames"):
        make_order("shuffled", [], Share(2), 0)
    with pytest.raises(UserError, match="3 frames, but every step needs at least 4"):
        make_order("streams", _frames(3), Share(4), 0)


def test_a_torn_recording_is_refused() -> None:
    frames = _frames(2, 2)
    with pytest.raises(UserError, match="do not lie together"):
        Streams.of([frames[0], frames[2], frames[1]], Share(1), 0)

"""The bank: first in, first out, one recording at a time, whole after saving."""

import io

import pytest
import torch

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.cross_view import observe
from lima_bench.lima.memory import Keyframe, MemoryBank


def _frame(index, points=2):
    xyz = torch.full((points, 3), float(index))
    row = torch.arange(points)
    pairs = PairIndex(row, torch.zeros_like(row), row % 2, row % 3)
    sight = observe(torch.full((1, 2, 3, 4), float(index)), pairs, (2, 3), "mean")
    return Keyframe(xyz, torch.eye(4, dtype=torch.float64), sight.packed())


def _indices(handed):
    return [index for index, _ in handed]


def _same(one, other):
    tensors = ("point", "first", "cells", "shares", "grids")
    alike = (torch.equal(getattr(one.sight, n), getattr(other.sight, n)) for n in tensors)
    return torch.equal(one.xyz, other.xyz) and all(alike)


def _walk(bank, *visits):
    """One step per visit; what each was handed."""
    seen = []
    for sequence, index in visits:
        seen.append(_indices(bank.visit(sequence, index, _frame(index))))
        bank.end_step()
    return seen


def test_first_in_first_out():
    bank = MemoryBank(2)
    assert _walk(bank, *(("a", n) for n in range(5))) == [[], [0], [0, 1], [1, 2], [2, 3]]


def test_a_bank_of_no_length_keeps_nothing():
    bank = MemoryBank(0)
    assert _walk(bank, ("a", 0), ("a", 1)) == [[], []]
    assert bank.get_extra_state() == []


def test_a_new_recording_starts_empty_and_ends_the_old_one():
    bank = MemoryBank(3)
    assert _walk(bank, ("a", 0), ("a", 1), ("b", 2), ("a", 3)) == [[], [0], [], []]


def test_going_back_or_repeating_starts_anew():
    assert _walk(MemoryBank(3), ("a", 0), ("a", 1), ("a", 0), ("a", 1)) == [[], [0], [], [0]]
    assert _walk(MemoryBank(3), ("a", 4), ("a", 4)) == [[], []]


def test_streams_are_told_apart_whatever_their_order_in_the_batch():
    bank = MemoryBank(3)
    handed = {}
    for step in range(3):
        for name in ("a", "b") if step % 2 else ("b", "a"):
            index = step + (10 if name == "b" else 0)
            handed[name] = bank.visit(name, index, _frame(index))
        bank.end_step()
    assert _indices(handed["a"]) == [0, 1]
    assert _indices(handed["b"]) == [10, 11]


@pytest.mark.parametrize("starts", [(0, 20), (20, 0)])
def test_two_streams_may_walk_one_recording(starts):
    """The one that begins ahead does not take over the other's memory, whichever comes first."""
    bank = MemoryBank(2)
    for step in range(3):
        handed = {n: _indices(bank.visit("a", n + step, _frame(n + step))) for n in starts}
        bank.end_step()
        assert handed == {n: [n + past for past in range(step)] for n in starts}


@pytest.mark.parametrize("stride", [1, 2])
def test_a_leap_beyond_the_window_starts_anew(stride):
    for ahead in (2 * stride, 2 * stride + 1):
        *_, handed = _walk(MemoryBank(2, stride), ("a", 0), ("a", 1), ("a", 1 + ahead))
        assert bool(handed) == (ahead == 2 * stride)


def test_two_frames_of_one_recording_in_one_step_follow_each_other():
    bank = MemoryBank(3)
    bank.visit("a", 0, _frame(0))
    assert _indices(bank.visit("a", 1, _frame(1))) == [0]


def test_the_bank_holds_half_precision_and_never_more_than_its_length():
    bank = MemoryBank(2)
    _walk(bank, *(("a", n) for n in range(6)))
    state = bank.get_extra_state()
    assert [entry["index"] for entry in state] == [4, 5]
    assert all(entry["sight"]["grids"].dtype == torch.float16 for entry in state)


def test_a_saved_bank_continues_as_if_never_stopped():
    original, restored = MemoryBank(3), MemoryBank(3)
    for bank in (original,):
        for step in range(4):
            bank.visit("a", step, _frame(step))
            bank.visit("b", step + 7, _frame(step + 7, points=0))
            bank.end_step()
    file = io.BytesIO()
    torch.save(torch.nn.ModuleDict({"bank": original}).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    torch.nn.ModuleDict({"bank": restored}).load_state_dict(state)
    for step in range(4, 6):
        for name, index in (("a", step), ("b", step + 7)):
            pairs = zip(
                original.visit(name, index, _frame(index)),
                restored.visit(name, index, _frame(index)),
                strict=True,
            )
            for (place, one), (other_place, other) in pairs:
                assert place == other_place
                assert _same(one, other)
        original.end_step(), restored.end_step()
    assert len(restored.visit("c", 0, _frame(0))) == 0

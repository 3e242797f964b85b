"""The bank: first in, first out, one recording at a time, whole after saving."""

import io

import numpy as np
import torch

from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.memory import Keyframe, MemoryBank


def _frame(index, points=2):
    xyz = np.full((points, 3), index, dtype=np.float32)
    features = torch.full((points, 4), float(index), dtype=torch.float16)
    return Keyframe(index, PlacedCloud(xyz, np.eye(4)), features)


def _walk(bank, *visits):
    """One step per visit; what each was handed."""
    seen = []
    for sequence, index in visits:
        seen.append([frame.index for frame in bank.visit(sequence, _frame(index))])
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
            handed[name] = bank.visit(name, _frame(step + (10 if name == "b" else 0)))
        bank.end_step()
    assert [frame.index for frame in handed["a"]] == [0, 1]
    assert [frame.index for frame in handed["b"]] == [10, 11]


def test_two_streams_may_walk_one_recording():
    bank = MemoryBank(2)
    for step in range(3):
        late = bank.visit("a", _frame(20 + step))
        early = bank.visit("a", _frame(step))
        bank.end_step()
    assert [frame.index for frame in late] == [20, 21]
    assert [frame.index for frame in early] == [0, 1]


def test_two_frames_of_one_recording_in_one_step_follow_each_other():
    bank = MemoryBank(3)
    bank.visit("a", _frame(0))
    assert [frame.index for frame in bank.visit("a", _frame(1))] == [0]


def test_the_bank_holds_half_precision_and_never_more_than_its_length():
    bank = MemoryBank(2)
    _walk(bank, *(("a", n) for n in range(6)))
    state = bank.get_extra_state()
    assert [entry["index"] for entry in state] == [4, 5]
    assert all(entry["features"].dtype == torch.float16 for entry in state)


def test_a_saved_bank_continues_as_if_never_stopped():
    original, restored = MemoryBank(3), MemoryBank(3)
    for bank in (original,):
        for step in range(4):
            bank.visit("a", _frame(step))
            bank.visit("b", _frame(step + 7, points=0))
            bank.end_step()
    file = io.BytesIO()
    torch.save(torch.nn.ModuleDict({"bank": original}).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    torch.nn.ModuleDict({"bank": restored}).load_state_dict(state)
    for step in range(4, 6):
        for name, index in (("a", step), ("b", step + 7)):
            pairs = zip(
                original.visit(name, _frame(index)),
                restored.visit(name, _frame(index)),
                strict=True,
            )
            for one, other in pairs:
                assert one.index == other.index
                assert one.cloud.digest == other.cloud.digest
                assert torch.equal(one.features, other.features)
        original.end_step(), restored.end_step()
    assert len(restored.visit("c", _frame(0))) == 0

"""Weights on disk: whole, exact, and refused with a message where they do not fit."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.lima.checkpoint import (
    load_state,
    load_student,
    read_meta,
    read_weights,
    save_state,
    save_student,
    weights_digest,
)


def _student(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def _saved(folder: Path) -> Path:
    path = folder / "deep" / "checkpoint.safetensors"
    save_student(path, _student(), {"backbone": "minkunet_tiny", "seed": 3})
    return path


def test_loads_what_was_saved(tmp_path: Path) -> None:
    path, other = _saved(tmp_path), _student(seed=1)
    meta = load_student(path, other, "minkunet_tiny")
    assert weights_digest(other.state_dict()) == weights_digest(_student().state_dict())
    assert meta["digest"] == weights_digest(other.state_dict())
    assert (meta["format"], meta["seed"]) == (1, 3)


def test_same_weights_same_bytes(tmp_path: Path) -> None:
    assert _saved(tmp_path / "a").read_bytes() == _saved(tmp_path / "b").read_bytes()


def test_digest_sees_every_part() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    same = {"b": torch.ones(2), "a": torch.zeros(2, 3)}
    others = (
        {**state, "b": torch.tensor([1.0, 2.0])},
        {**state, "a": torch.zeros(3, 2)},
        {**state, "b": torch.ones(2, dtype=torch.float64)},
        {"a": state["a"], "c": state["b"]},
    )
    assert weights_digest(state) == weights_digest(same)
    assert len({weights_digest(other) for other in (state, *others)}) == 5


def test_wrong_shape_names_the_tensors_and_both_shapes(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_student(_saved(tmp_path), _student(width=5))
    text = str(caught.value)
    assert "0.weight: (4, 3) in the file, (5, 3) wanted" in text
    assert "6 tensors do not fit" in text and "and 1 more" in text and "student settings" in text


def test_refusal_leaves_the_student_untouched(tmp_path: Path) -> None:
    student = _student(width=5)
    before = weights_digest(student.state_dict())
    with pytest.raises(UserError):
        load_student(_saved(tmp_path), student)
    assert weights_digest(student.state_dict()) == before


def test_missing_and_surplus_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1\.weight.* absent wanted"):
        load_student(_saved(tmp_path), nn.Sequential(nn.Linear(3, 4)))


def test_other_backbone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a minkunet_tiny, but a minkunet34"):
        load_student(_saved(tmp_path), _student(), "minkunet34")


def test_foreign_newer_and_damaged_files_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(UserError, match="not written by lima-bench"):
        read_meta(foreign)
    newer = tmp_path / "newer.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, newer, {"lima_bench": '{"format": 99}'})
    with pytest.raises(UserError, match="format 99"):
        read_meta(newer)
    path = _saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="not those that were written"):
        load_student(path, _student())
    path.write_bytes(content[:40])
    with pytest.raises(UserError, match="no whole safetensors"):
        read_meta(path)
    with pytest.raises(UserError, match="no such file"):
        read_meta(tmp_path / "absent.safetensors")


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_that_wants_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    torch.save({"state_dict": {"a": _Bomb()}}, path)
    with pytest.raises(UserError, match="have to run code"):
        read_weights(path)
    path.write_bytes(pickle.dumps(_Bomb(), protocol=2))
    with pytest.raises(UserError, match="have to run code"):
        read_weights(path)


def test_published_tensors_are_unwrapped(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a": torch.ones(2)}}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth")["a"].tolist() == [1, 1]
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no table of tensors"):
        read_weights(tmp_path / "w.pth")


def test_state_round_trip(tmp_path: Path) -> None:
    state = {"step": 3, "bank": [{"x": torch.arange(3)}], "terms": {"a": [0.1, float(2**-60)]}}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert loaded["terms"] == state["terms"] and loaded["bank"][0]["x"].tolist() == [0, 1, 2]

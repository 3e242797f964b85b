"""Pickled lists of others: plain data is read, whatever wants code is refused by name."""

import collections
import functools
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.pickles import read_pickle

PLAIN: dict[str, Any] = {
    "Town03": ["000000", "000001"],
    "names": np.array(["a", "bcé", ""]),
    "turned": np.array(["ab", "cd"]).astype(">U2"),
    "bytes": np.array([b"a", b"bc"]),
    "objects": np.array(["p", "qq"], dtype=object),
    "table": np.arange(6).reshape(2, 3),
    "by column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.array([1, 2], dtype=">i4"),
    "none": np.array([]),
    "scalars": [np.str_("xy"), np.int64(4), np.float32(0.5), np.bool_(True)],
    "tuple": (1, None, True, 2.5, b"raw", b"", {3}, frozenset({4})),
    "ordered": collections.OrderedDict(a=[1]),
}


def plain(value: Any) -> Any:
    """What the reader should make of it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


class Evil:
    """Calls something when it is unpickled."""

    def __init__(self, call: Any, *given: Any) -> None:
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.given


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "lists.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    found = read_pickle(path)
    assert found == plain(PLAIN)
    assert type(found["scalars"][0]) is str and type(found["names"][0]) is str


def test_what_numpy_2_writes(tmp_path: Path) -> None:
    path = tmp_path / "lists.pkl"
    content = pickle.dumps(np.array(["a", "b"]), 2)
    assert b"numpy.core.multiarray" in content
    path.write_bytes(content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray"))
    assert read_pickle(path) == ["a", "b"]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("evil", "named"),
    [
        (Evil(os.system, "true"), r"(posix|nt)\.system"),
        (Evil(eval, "1"), r"(builtins|__builtin__)\.eval"),
        (Evil(getattr, "", "join"), r"\.getattr"),
        (functools.partial(print), r"functools\.partial"),
        (collections.defaultdict(list, {1: [2]}), r"collections\.defaultdict"),
        (Path("x"), r"pathlib\.\w*Path"),
        (np.random.default_rng, r"default_rng"),
    ],
)
def test_what_wants_code_is_refused_by_name(
    tmp_path: Path, evil: Any, named: str, protocol: int
) -> None:
    path = tmp_path / "lists.pkl"
    path.write_bytes(pickle.dumps({"Town03": [evil]}, protocol))
    with pytest.raises(UserError, match=rf"wants [\w.]*{named}, which may run code") as error:
        read_pickle(path)
    assert error.value.where == str(path) and "JSON beside it" in error.value.how


def test_code_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "lists.pkl", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Evil(Path.touch, trace)))
    with pytest.raises(UserError):
        read_pickle(path)
    path.write_bytes(pickle.dumps(Evil(os.mkdir, str(trace))))
    with pytest.raises(UserError, match="mkdir"):
        read_pickle(path)
    assert not trace.exists()


def test_objects_that_lie_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "lists.pkl"
    path.write_bytes(b"Phere\n.")
    with pytest.raises(UserError, match="an object outside the file"):
        read_pickle(path)


def test_the_few_known_names_cannot_be_altered(tmp_path: Path) -> None:
    """BUILD with a state sets attributes: of a function it would change later readings."""
    path = tmp_path / "lists.pkl"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nN}X\x01\x00\x00\x00aK\x01s\x86b.")
    with pytest.raises(UserError, match="a class or function with a state"):
        read_pickle(path)


def test_a_number_makes_no_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "lists.pkl"
    path.write_bytes(pickle.dumps(Evil(bytearray, 1 << 40)))
    with pytest.raises(UserError, match="no whole pickle"):
        read_pickle(path)


def test_lists_of_lists_of_lists(tmp_path: Path) -> None:
    """A small file may name one list again and again, or put a list into itself."""
    path = tmp_path / "lists.pkl"
    nested: list[Any] = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    path.write_bytes(pickle.dumps(nested))
    found = read_pickle(path)
    for _ in range(60):
        found = found[1]
    assert found == ["x"]
    nested.append(nested)
    path.write_bytes(pickle.dumps(nested))
    with pytest.raises(UserError, match="holds itself"):
        read_pickle(path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_broken_files_are_the_users_to_mend(tmp_path: Path, protocol: int) -> None:
    """Whatever a file holds, it is read or it is refused with its name."""
    path, rng = tmp_path / "lists.pkl", random.Random(0)
    with pytest.raises(UserError, match="missing"):
        read_pickle(path)
    whole = pickle.dumps(PLAIN, protocol)
    refused = 0
    for i in range(300):
        content = bytearray(whole if i % 2 else whole[: rng.randrange(len(whole))])
        for _ in range(i % 5):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_pickle(path)
        except UserError as error:
            assert error.where == str(path)
            refused += 1
    assert refused > 150

"""Lists that others stored as pickles, read without running any code of theirs.

Offers `read_pickle`. A pickle is a program that may name any function to be called. Here it may
name the few that NumPy's arrays and strings are stored with, and even those are not called: small
stand-ins keep what they would have been given, checked, and turn it into plain lists and strings.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError

_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the standard library's unpickler raises on content that is no whole pickle."""

_PLAIN = (str, bytes, bytearray, int, float, bool, type(None))
_KINDS = "USiufb"
"""Kinds of NumPy types whose items are strings or numbers; `O` is allowed for lists of them."""


def read_pickle(path: Path) -> Any:
    """The plain data in a pickle of protocol 0 to 5.

    Returns:
        Dictionaries, lists, tuples, sets, strings, bytes and numbers; NumPy arrays as lists,
        NumPy scalars as what they hold.

    Raises:
        UserError: The file is missing, broken, or wants anything else than plain data; the
            message names the class or function that it wanted.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Restricted(file, path).load(), {})
    except OSError as error:
        raise UserError(path, "This file is missing or cannot be read.", "Get it again.") from error
    except _BROKEN as error:
        raise UserError(
            path,
            f"This is no whole pickle of plain data: {error}.",
            "Get the file again, or store the same lists as JSON beside it.",
        ) from error


class _Restricted(pickle.Unpickler):
    """An unpickler that knows nothing but `_STAND_INS`."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global that the pickle names."""
        if (module, name) not in _STAND_INS:
            raise self._refused(f"{module}.{name}")
        return _Callable(_STAND_INS[module, name])

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects that lie elsewhere."""
        raise self._refused("an object outside the file")

    def _refused(self, wanted: str) -> UserError:
        return UserError(
            self._path,
            f"This pickle wants {wanted}, which may run code; only plain lists are read.",
            "If you trust its origin, load it once yourself and store the lists as JSON beside it.",
        )


class _Callable:
    """What a pickle gets for a name: it can be called and, unlike a function, not altered."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *given: Any) -> Any:
        return self._make(*given)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a class or function with a state")


class _Type:
    """Stands in for ``numpy.dtype``.

    Attributes:
        name: The type's code, as ``U6`` or ``i8``.
        order: ``<`` or ``>``, or ``|`` where bytes have no order.
    """

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        del align, copy
        if not isinstance(name, str) or name[:1] not in f"{_KINDS}O":
            raise ValueError(f"an array of {name!r}")
        self.name = name
        self.order: Literal["<", ">", "|"] = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<" if state[1] == "<" else "|"

    @property
    def real(self) -> np.dtype[Any]:
        """The type itself, made from its code alone."""
        return np.dtype(self.name).newbyteorder(self.order)


class _Array:
    """Stands in for an array that is made empty and then filled.

    Attributes:
        items: Its rows as nested lists.
    """

    def __init__(self, *_made_empty: Any) -> None:
        self.items: Any = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, by_column, content = state[-4:]
        self.items = _items(content, kind, shape, "F" if by_column else "C")


def _never(*given: Any) -> Any:
    """Stands in for ``numpy.ndarray``, which is named but never called."""
    raise ValueError("an array that is not made as NumPy makes it")


def _items(content: Any, kind: _Type, shape: Any, order: Any) -> Any:
    """An array's bytes, or its list of objects, as nested lists."""
    if kind.name.startswith("O"):
        if not isinstance(content, list) or prod(shape) != len(content):
            raise ValueError("an array of objects without a list of them")
        if len(shape) != 1:
            raise ValueError("a table of objects")
        return content
    if not prod(shape):
        return []
    return _values(content, kind).reshape(shape, order=order).tolist()


def _values(content: Any, kind: _Type) -> npt.NDArray[Any]:
    """An array's bytes as its items, in a row; strings hold nothing but characters."""
    dtype = kind.real
    if dtype.kind == "U":
        codes = np.frombuffer(content, np.dtype("u4").newbyteorder(kind.order))
        if codes.max(initial=0) > sys.maxunicode:
            raise ValueError("strings of what are no characters")
    return np.frombuffer(content, dtype)


def _from_buffer(content: Any, kind: _Type, shape: Any, order: Any) -> _Array:
    """Stands in for NumPy's ``_frombuffer`` (protocol 5)."""
    array = _Array()
    array.items = _items(content, kind, shape, order)
    return array


def _scalar(kind: _Type, content: bytes) -> Any:
    """Stands in for NumPy's ``scalar``: one string or number."""
    (value,) = _values(content, kind).tolist()
    return value


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for ``_codecs.encode``, with which protocol 2 stores bytes."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise ValueError(f"bytes stored as {encoding!r}")
    return text.encode("latin1")


def _bytes(content: Any = b"", encoding: str = "latin1") -> bytes:
    """Stands in for ``bytes`` and ``bytearray``, which would make a gigabyte out of a number."""
    return bytes(content) if isinstance(content, bytes) else _encode(content, encoding)


def _numpy_names() -> dict[tuple[str, str], Callable[..., Any]]:
    """NumPy 2 renamed ``numpy.core`` to ``numpy._core``; both write the same otherwise."""
    found: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): _Type,
        ("numpy", "ndarray"): _never,
    }
    for core in ("numpy.core", "numpy._core"):
        found[f"{core}.multiarray", "_reconstruct"] = _Array
        found[f"{core}.multiarray", "scalar"] = _scalar
        found[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return found


_CONTAINERS: Mapping[str, Callable[..., Any]] = {
    "set": set,
    "frozenset": frozenset,
    "bytearray": _bytes,
    "bytes": _bytes,
}
_STAND_INS: Mapping[tuple[str, str], Callable[..., Any]] = {
    **_numpy_names(),
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    **{("builtins", name): make for name, make in _CONTAINERS.items()},
    **{("__builtin__", name): make for name, make in _CONTAINERS.items()},
}
_STARTED = object()


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """`value` with every stand-in replaced by what it stands for.

    Args:
        value: What the unpickler made.
        done: By identity, what is replaced already: a small file may name one list many times.

    Raises:
        ValueError: Something holds itself, or is a stand-in that stands for nothing.
    """
    if isinstance(value, _PLAIN):
        return value
    if id(value) in done:
        if done[id(value)] is _STARTED:
            raise ValueError("a container that holds itself")
        return done[id(value)]
    done[id(value)] = _STARTED
    found = _replaced(value, done)
    done[id(value)] = found
    return found


def _replaced(value: Any, done: dict[int, Any]) -> Any:
    """One container with plain items."""
    if isinstance(value, _Array):
        return _plain(value.items, done)
    if isinstance(value, dict):
        return {_plain(key, done): _plain(item, done) for key, item in value.items()}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind(_plain(item, done) for item in value)
    raise ValueError(f"{type(value).__name__} on its own")

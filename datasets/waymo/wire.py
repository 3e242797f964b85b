"""Protocol-buffer messages by their places: what a file's pages need to be touched for, no more.

Offers `fields`, `Field` and `Bytes`. A frame of Waymo Open is megabytes; to list frames one needs
its time, its pose and whether labels exist, and to find an image its place. Source: the encoding
as protobuf.dev documents it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Bytes = bytes | mmap.mmap
"""What places are in."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: The field's.
        start: First byte of its value; of a varint, the value itself.
        end: Byte after its value; -1 for a varint.
    """

    number: int
    start: int
    end: int

    @property
    def value(self) -> int:
        """Of a varint."""
        return self.start

    def __len__(self) -> int:
        """Bytes of its value."""
        return self.end - self.start


def fields(data: Bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in ``data[start:end]``, in order.

    Raises:
        ValueError: This is no message.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at, end)
            yield Field(number, value, -1)
            continue
        if kind == 2:
            length, at = _varint(data, at, end)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field {number} has the unknown wire type {kind}")
        if at + length > end:
            raise ValueError(f"field {number} ends behind its message")
        yield Field(number, at, at + length)
        at += length


def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number is cut short")

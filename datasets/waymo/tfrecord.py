"""TFRecord files: a row of records, each with its length and two checksums.

Offers `record_places`, `read_record` and `write_records`. A record is its length (uint64, little
endian), the length's masked CRC-32C (uint32), the bytes, and the bytes' masked CRC-32C (uint32).
Places are found by hopping from length to length, so that one record can be read alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.datasets.waymo.crc32c import masked_crc32c

Place = tuple[int, int]
"""Offset of a record's bytes in the file, and how many they are."""

_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_HEAD, _TAIL = _LENGTH.size + _CRC.size, _CRC.size
_AGAIN = "Get this file again from where the data set came from."


def record_places(path: Path) -> list[Place]:
    """Where the records of a file lie; lengths are checked, the records themselves unread.

    Raises:
        UserError: The file is missing or empty, a length fails its checksum, or the last record
            is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            places: list[Place] = []
            at = 0
            while at < size:
                file.seek(at)
                place = _next_place(path, len(places), file.read(_HEAD), at, size)
                places.append(place)
                at = sum(place) + _TAIL
    except OSError as error:
        raise UserError(path, "This file is missing or cannot be read.", _AGAIN) from error
    if not places:
        raise UserError(path, "This file is empty: it holds no records.", _AGAIN)
    return places


def read_record(path: Path, place: Place) -> bytes:
    """The bytes of one record, checked.

    Raises:
        UserError: They fail their checksum, or the file has become shorter.
    """
    at, length = place
    try:
        with path.open("rb") as file:
            file.seek(at)
            data, tail = file.read(length), file.read(_TAIL)
    except OSError as error:
        raise UserError(path, "This file is missing or cannot be read.", _AGAIN) from error
    if len(data) < length or len(tail) < _TAIL:
        raise UserError(path, f"This file is truncated: it ends in the record at {at}.", _AGAIN)
    if masked_crc32c(data) != _CRC.unpack(tail)[0]:
        what = f"The record at byte {at} fails its checksum: the file is damaged."
        raise UserError(path, what, _AGAIN)
    return data


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write `records` to a file."""
    with path.open("wb") as file:
        for record in records:
            file.writelines(_framed(record))


def _framed(record: bytes) -> Iterator[bytes]:
    length = _LENGTH.pack(len(record))
    yield length
    yield _CRC.pack(masked_crc32c(length))
    yield record
    yield _CRC.pack(masked_crc32c(record))


def _next_place(path: Path, number: int, head: bytes, at: int, size: int) -> Place:
    """The place that a record's head tells of."""
    if len(head) == _HEAD:
        length = _LENGTH.unpack_from(head)[0]
        if masked_crc32c(head[: _LENGTH.size]) != _CRC.unpack_from(head, _LENGTH.size)[0]:
            what = f"The length of record {number}, at byte {at}, fails its checksum."
            raise UserError(path, what, _AGAIN)
        if at + _HEAD + length + _TAIL <= size:
            return at + _HEAD, length
    what = f"This file is truncated: it ends in record {number}, which begins at byte {at}."
    raise UserError(path, what, _AGAIN)

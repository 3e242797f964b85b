"""The checksum of TFRecord files: CRC-32C (Castagnoli), masked.

Offers `crc32c` and `masked_crc32c`. A checksum runs through the bytes one by one; here the bytes
are cut into lanes that run side by side in numpy and are joined afterwards, which takes some tens
of milliseconds for the megabytes of one frame. Source: RFC 3720, appendix B.4; the mask is
TensorFlow's (``tensorflow/core/lib/hash/crc32c.h``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt32 = npt.NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # reversed
_LANE = 1024
_MASK = 0xA282EAD8


def _byte_table() -> UInt32:
    """(256,) the checksum's state after one byte."""
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        state = (state >> 1) ^ np.where(state & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return state


def _lane_tables(step: UInt32) -> UInt32:
    """(4, 256) what a lane of zero bytes makes of each byte of the state before it."""
    byte, shift = np.arange(256, dtype=np.uint32), 8 * np.arange(4, dtype=np.uint32)
    states: UInt32 = np.left_shift(byte, shift[:, None])
    for _ in range(_LANE):
        states = step[states & 0xFF] ^ (states >> 8)
    return states


_STEP = _byte_table()
_OVER_LANE = _lane_tables(_STEP)


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`."""
    raw = np.frombuffer(data, dtype=np.uint8)
    whole = len(raw) // _LANE * _LANE
    state = 0xFFFFFFFF
    for lane in _lanes(raw[:whole]).tolist():
        passed = 0
        for i in range(4):
            passed ^= int(_OVER_LANE[i, state >> (8 * i) & 0xFF])
        state = passed ^ lane
    step = _STEP.tolist()
    for byte in raw[whole:].tolist():
        state = step[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord stores it: rotated and shifted, for data may hold checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _lanes(raw: npt.NDArray[np.uint8]) -> UInt32:
    """(L,) the state after each lane of bytes, had it been zero before."""
    columns = np.ascontiguousarray(raw.reshape(-1, _LANE).T)
    state = np.zeros(columns.shape[1], dtype=np.uint32)
    for column in columns:
        state = _STEP[(state ^ column) & 0xFF] ^ (state >> 8)
    return state

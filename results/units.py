"""Small and large costs in a unit in which they are well read; stored numbers never change. Pure.

Offers `UNITS` and `fitted`. A column keeps hours, seconds or gigabytes (CSV and golden files show
those); for the eye an embedded run's 0.03 hours are minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lima_bench.results.table import ColumnMeta, Quantity

UNITS: Mapping[Quantity, Mapping[str, float]] = {
    "hours": {"h": 1.0, "min": 60.0, "s": 3600.0},
    "seconds": {"h": 1 / 3600, "min": 1 / 60, "s": 1.0, "ms": 1e3},
    "gigabytes": {"GB": 1.0, "MB": 1e3},
}
"""Quantity to unit to how many of it make one of the quantity; the largest unit first."""

_LEAST_GB = 0.1
_DIGITS = 3  # tell 17.9 h from 18.7 h, the published step of one frame


def fitted(column: ColumnMeta, values: Iterable[float]) -> ColumnMeta:
    """The column with unit, scale and decimals in which `values` are well read.

    What the column states itself (a unit other than ``auto``, decimals) stands.

    Args:
        column: Of a cost; a column of scores comes back as it is.
        values: All that will be shown in it, in its quantity.
    """
    if not column.quantity:
        return column
    units = UNITS[column.quantity]
    sizes = sorted(abs(value) for value in values if value)
    unit = column.unit
    if unit in ("", "auto"):
        unit = _readable(units, sizes)
    decimals = column.decimals
    if decimals is None:
        decimals = _decimals(unit, [size * units[unit] for size in sizes])
    return replace(column, unit=unit, scale=units[unit], decimals=decimals)


def _readable(units: Mapping[str, float], sizes: list[float]) -> str:
    """The largest unit in which the smallest number is not tiny; the quantity's own without any."""
    if not sizes:
        return next(name for name, scale in units.items() if scale == 1)
    least = _LEAST_GB if "GB" in units else 1.0
    large = [name for name, scale in units.items() if sizes[0] * scale >= least]
    return large[0] if large else list(units)[-1]


def _decimals(unit: str, sizes: list[float]) -> int:
    """As many as show three digits of the smallest number; of gigabytes always two."""
    if unit == "GB" or not sizes:
        return 2
    return min(max(_DIGITS - 1 - math.floor(math.log10(sizes[0])), 0), 6)

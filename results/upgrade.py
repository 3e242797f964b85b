"""Old files stay readable: every change of a format comes with the step from the one before.

Offers `upgraded`, which walks a record's JSON object up to the current format, and two tables of
steps: `RECORD_STEPS` (one JSON object to the next format) and `LAYOUT_STEPS` (a store's folder to
the next layout). Both are empty while there is only one format; a step is entered under the number
it starts from, together with a test on a file of that number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RecordStep = Callable[[dict[str, Any]], dict[str, Any]]
LayoutStep = Callable[[Path], None]

RECORD_STEPS: Mapping[int, RecordStep] = {}
LAYOUT_STEPS: Mapping[int, LayoutStep] = {}


class NewerFormatError(ValueError):
    """The file comes from a version of lima-bench that this one does not know."""


def upgraded(raw: Mapping[str, Any], *, to: int, steps: Mapping[int, RecordStep]) -> dict[str, Any]:
    """The JSON object `raw` in format `to`; each step raises the ``format`` field by one.

    Raises:
        NewerFormatError: `raw` is of a format above `to`.
        ValueError: It states no format, or one that no step starts from.
    """
    current = dict(raw)
    number = _format_of(current)
    if number > to:
        raise NewerFormatError(f"format {number}; this version reads up to {to}")
    while number < to:
        if number not in steps:
            raise ValueError(f"nothing upgrades format {number}")
        number += 1
        current = {**steps[number - 1](current), "format": number}
    return current


def _format_of(raw: Mapping[str, Any]) -> int:
    number = raw.get("format")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError("it states no format number")
    return number

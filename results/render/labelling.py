"""Puts names beside points of a panel where least is in their way. Pure.

Offers `Name` and `place_names`, called once everything else is drawn and the panel has its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_SIZE = 8.0
_GAP = 7.0
_LETTER = 0.62  # width of a letter of the font, of its size
_STEPS = 40


@dataclass(frozen=True)
class Name:
    """A name and the place that it belongs to.

    Attributes:
        text: The name.
        x: In data units.
        y: Likewise.
        colour: Of the letters.
        bold: For the method that a figure is about.
    """

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


Box = tuple[float, float, float, float]
"""Left, bottom, right, top in points."""


def place_names(panel: Any, names: Sequence[Name]) -> None:
    """Write every name above, below, right or left of its point: where it covers least.

    Args:
        panel: Axes whose limits and size are final.
        names: In order of importance; later ones make way for earlier ones.
    """
    obstacles = list(_inked(panel))
    left, bottom, right, top = _frame(panel)
    taken: list[Box] = []
    for name in names:
        x, y = _in_points(panel, name.x, name.y)
        best = min(
            _offsets(name.text),
            key=lambda offset: _cost(
                _box(x, y, name.text, offset), obstacles, taken, (left, bottom, right, top)
            ),
        )
        taken.append(_box(x, y, name.text, best))
        panel.annotate(
            name.text,
            (name.x, name.y),
            best,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE,
            fontweight="bold" if name.bold else "normal",
            color=name.colour,
            zorder=6,
        )


def _offsets(text: str) -> Iterator[tuple[float, float]]:
    """Where the middle of a name may lie, seen from its point; the most usual places first."""
    aside, above = _width(text) / 2 + _GAP, _SIZE / 2 + _GAP
    for reach in (1.0, 1.7, 2.6):
        for x, y in ((0, above), (0, -above), (aside, 0), (-aside, 0)):
            yield x * (reach if y == 0 else 1), y * (reach if x == 0 else 1)
        for x in (aside * 0.85, -aside * 0.85):
            yield x, above * reach * 0.85
            yield x, -above * reach * 0.85


def _cost(
    box: Box, obstacles: Sequence[tuple[float, float]], taken: Sequence[Box], frame: Box
) -> float:
    covered = sum(box[0] < x < box[2] and box[1] < y < box[3] for x, y in obstacles)
    crossed = sum(
        box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
    )
    outside = box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]
    return covered + 30.0 * crossed + 60.0 * outside


def _box(x: float, y: float, text: str, offset: tuple[float, float]) -> Box:
    half_width, half_height = _width(text) / 2 + 1.0, _SIZE / 2 + 2.0
    middle_x, middle_y = x + offset[0], y + offset[1]
    return (
        middle_x - half_width,
        middle_y - half_height,
        middle_x + half_width,
        middle_y + half_height,
    )


def _width(text: str) -> float:
    return len(text) * _LETTER * _SIZE


def _inked(panel: Any) -> Iterator[tuple[float, float]]:
    """Points along every line and around every marker of the panel."""
    for line in panel.get_lines():
        points = [_in_points(panel, x, y) for x, y in line.get_xydata()]
        for x, y in points:
            reach = line.get_markersize() / 2 if line.get_marker() not in ("None", None, "") else 0
            yield from ((x + dx, y + dy) for dx in (-reach, 0, reach) for dy in (-reach, 0, reach))
        if line.get_linestyle() != "None":
            for (x0, y0), (x1, y1) in pairwise(points):
                parts = [n / _STEPS for n in range(_STEPS)]
                yield from ((x0 + (x1 - x0) * p, y0 + (y1 - y0) * p) for p in parts)


def _frame(panel: Any) -> Box:
    box = panel.get_window_extent()
    scale = 72.0 / panel.figure.dpi
    return box.x0 * scale, box.y0 * scale, box.x1 * scale, box.y1 * scale


def _in_points(panel: Any, x: float, y: float) -> tuple[float, float]:
    """A place of the panel in points of the page."""
    there = panel.transData.transform((x, y)) * (72.0 / panel.figure.dpi)
    return float(there[0]), float(there[1])

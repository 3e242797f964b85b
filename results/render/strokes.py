"""The strokes that figures are made of: a line with its band, points, published points. Pure.

Offers `Point`, `draw_line`, `draw_points`, `draw_published` and `scale_axis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lima_bench.results.render.looks import Look
from lima_bench.results.table import ColumnMeta

_PALE = 0.35
_STROKED = "x1234"  # markers without an inside, which cannot be hollow


@dataclass(frozen=True)
class Point:
    """One cell as a point.

    Attributes:
        x: Frames, or the share of labels in percent.
        y: In the column's printed unit.
        std: Likewise; 0 where it is unknown.
        sound: Neither stale nor disturbed.
    """

    x: float
    y: float
    std: float = 0.0
    sound: bool = True


_PERCENT = {"miou": "mIoU (%)", "map": "mAP (%)", "nds": "NDS (%)"}
"""Scores in percent, as axes name them."""


def draw_line(panel: Any, points: Sequence[Point], look: Look, name: str) -> None:
    """Line, markers and the band of one standard deviation; unsound points are pale."""
    if not points:
        return
    xs, ys = [p.x for p in points], [p.y for p in points]
    panel.plot(
        xs, ys, linestyle=look.line, marker=look.marker, color=look.colour, label=name, zorder=3
    )
    if any(p.std for p in points):
        low, high = [p.y - p.std for p in points], [p.y + p.std for p in points]
        panel.fill_between(xs, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1)
    draw_points(panel, points, look, with_std=False)


def draw_points(panel: Any, points: Sequence[Point], look: Look, *, with_std: bool = True) -> None:
    """Markers, with a bar of one standard deviation."""
    for point in points:
        # A white disc below: a pale marker would let the line shine through.
        panel.plot(point.x, point.y, look.marker, color="white", zorder=4)
        alpha = 1.0 if point.sound else _PALE
        panel.plot(point.x, point.y, look.marker, color=look.colour, alpha=alpha, zorder=5)
        if with_std and point.std:
            panel.errorbar(
                point.x, point.y, point.std, color=look.colour, capsize=2.5, linewidth=1.2
            )


def draw_published(panel: Any, points: Sequence[Point], look: Look, *, line: bool) -> None:
    """Hollow markers, joined by a thin line if they are a curve."""
    if not points:
        return
    xs, ys = [p.x for p in points], [p.y for p in points]
    if line:
        panel.plot(xs, ys, "--", color=look.colour, linewidth=1.0, alpha=0.6, zorder=2)
    marker = "o" if look.marker in _STROKED else look.marker
    panel.plot(
        xs, ys, marker, markerfacecolor="white", markeredgecolor=look.colour, linestyle="", zorder=4
    )


def scale_axis(panel: Any, column: ColumnMeta) -> None:
    """Name the axis; costs from zero, scores with a little room around them."""
    low, high = panel.get_ylim()
    if column.quantity:
        panel.set_ylim(0.0, high * 1.15)
        panel.set_ylabel(f"{column.title} ({column.unit})")
    else:
        room = 0.12 * (high - low)
        panel.set_ylim(low - room, high + room)
        panel.set_ylabel(_PERCENT.get(column.metric, column.metric))

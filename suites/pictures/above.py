"""One frame from above: points, truth, predictions, range rings, a scale and a legend of classes.

Offers `figure_above` and `REACH_M`. The way ahead is up, whatever the axes of the data set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lima_bench.datasets.card import Card
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.sample import Float64, Sample
from lima_bench.suites.examine.paint import ahead_first
from lima_bench.suites.pictures.looks import (
    FOUND,
    GROUND,
    INK,
    PALE,
    RING,
    TRUTH,
    Caption,
    inks,
    marker_of,
    strength,
)
from lima_bench.suites.pictures.marks import Marks

REACH_M = 54.0
"""Half the side of the map; the widest class of nuScenes counts up to 50 m."""

_RING_M = 10
_SCALE_M = 10
_WIDTH, _MAP, _SIDE, _EDGE, _TOP = 10.9, 7.8, 2.55, 0.2, 0.72
"""Inches."""


def figure_above(
    sample: Sample, card: Card, truth: Marks, found: Marks, caption: Caption
) -> Figure:
    """The page of one frame.

    Args:
        sample: Its points, LiDAR frame.
        card: With `detection`.
        truth: Annotated boxes, same frame.
        found: Predictions from `caption.least` on, same frame.
        caption: What it says of itself.
    """
    height = _TOP + _MAP + _EDGE
    figure = Figure(figsize=(_WIDTH, height), facecolor=GROUND)
    axes = figure.add_axes((_EDGE / _WIDTH, _EDGE / height, _MAP / _WIDTH, _MAP / height))
    left = (_EDGE + _MAP + _EDGE) / _WIDTH
    side = figure.add_axes((left, _EDGE / height, _SIDE / _WIDTH, _MAP / height))
    figure.text(
        _EDGE / _WIDTH, 1 - 0.16 / height, caption.detector, va="top", fontsize=13, weight="bold"
    )
    figure.text(_EDGE / _WIDTH, 1 - 0.44 / height, caption.frame, va="top", fontsize=9, color=PALE)
    truth, found = (_on_map(card, marks) for marks in (truth, found))
    _draw_map(axes, sample, card)
    _draw_truth(axes, card, truth)
    _draw_found(axes, card, found, caption.least)
    _draw_scale(axes)
    assert card.detection is not None
    _draw_legend(side, card.detection, truth, found, caption)
    return figure


def _seen(card: Card, points: Float64) -> Float64:
    """LiDAR-frame points (..., 3) on the map: right and ahead."""
    turned = ahead_first(card, points)
    placed: Float64 = np.stack([-turned[..., 1], turned[..., 0]], axis=-1)
    return placed


def _on_map(card: Card, marks: Marks) -> Marks:
    """Those whose middle is shown: what lies beyond would be counted and not be seen."""
    return marks.only((np.abs(_seen(card, marks.middle)) < REACH_M).all(axis=1))


def _draw_map(axes: Any, sample: Sample, card: Card) -> None:
    """Points, grey by height, range rings and the car."""
    for radius in range(_RING_M, int(REACH_M * 1.5), _RING_M):
        angle = np.linspace(0, 2 * np.pi, 181)
        axes.plot(
            radius * np.cos(angle), radius * np.sin(angle), color=RING, linewidth=0.6, zorder=1
        )
        place = radius / np.sqrt(2)
        if place < REACH_M - 2:
            axes.text(
                place, -place, f"{radius} m", fontsize=6.5, color=PALE, ha="center", va="center",
                bbox={"facecolor": GROUND, "edgecolor": "none", "pad": 0.8}, zorder=2,
            )  # fmt: skip
    places = _seen(card, sample.points)
    near = np.flatnonzero((np.abs(places) < REACH_M).all(axis=1))
    upwards = near[np.argsort(sample.points[near, 2], kind="stable")]
    low, high = np.percentile(sample.points[:, 2], (5, 95)) if len(sample.points) else (0.0, 1.0)
    lightness = 0.78 - 0.5 * np.clip(
        (sample.points[upwards, 2] - low) / max(high - low, 1e-9), 0, 1
    )
    shade = np.repeat(lightness[:, None], 3, axis=1)
    axes.scatter(*places[upwards].T, s=0.9, c=shade, linewidths=0, zorder=3, rasterized=True)
    axes.plot(0, 0, marker=(3, 0, 0), markersize=9, color=INK, markeredgecolor="white", zorder=8)
    axes.set_xlim(-REACH_M, REACH_M)
    axes.set_ylim(-REACH_M, REACH_M)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(RING)


def _draw_truth(axes: Any, card: Card, truth: Marks) -> None:
    """Blue; dashed where no point lies within."""
    outlines, ways = _strokes(card, truth)
    for rows, style in ((~truth.bare, "solid"), (truth.bare, (0, (2.2, 1.4)))):
        options = {"colors": TRUTH, "linestyles": [style], "zorder": 5}
        axes.add_collection(LineCollection(list(outlines[rows]), linewidths=1.5, **options))
        axes.add_collection(LineCollection(list(ways[rows]), linewidths=1.5, **options))
    _draw_signs(axes, card, truth, TRUTH, np.ones(len(truth)))


def _draw_found(axes: Any, card: Card, found: Marks, least: float) -> None:
    """Red, thinner than truth, so that both show where they agree."""
    outlines, ways = _strokes(card, found)
    alpha = strength(found.score, least)
    for lines in (outlines, ways):
        strokes = LineCollection(list(lines), colors=inks(FOUND, alpha), linewidths=0.9, zorder=6)
        axes.add_collection(strokes)
    _draw_signs(axes, card, found, FOUND, alpha)


def _strokes(card: Card, marks: Marks) -> tuple[Float64, Float64]:
    """Closed outlines (B, 5, 2), and headings (B, 2, 2) from the middle to past the front."""
    outline = _seen(card, marks.corners[:, [0, 1, 2, 3, 0]])
    way = _seen(card, marks.headings)
    length = np.linalg.norm(way[:, 1] - way[:, 0], axis=1, keepdims=True)
    past = (way[:, 1] - way[:, 0]) * np.minimum(0.5, 0.6 / np.maximum(length, 1e-9))
    return outline, np.stack([way[:, 0], way[:, 1] + past], axis=1)


def _draw_signs(axes: Any, card: Card, marks: Marks, colour: str, alpha: Float64) -> None:
    """The sign of its class in the middle of every box."""
    places = _seen(card, marks.middle)
    colours = inks(colour, alpha)
    for label in np.unique(marks.label).tolist():
        mine = marks.label == label
        sign = {"marker": marker_of(label), "s": 9, "linewidths": 0, "zorder": 7}
        axes.scatter(*places[mine].T, c=colours[mine], **sign)


def _draw_scale(axes: Any) -> None:
    left, low = -REACH_M + 3, -REACH_M + 3
    axes.plot([left, left + _SCALE_M], [low, low], color=INK, linewidth=2.2, zorder=9)
    box = {"facecolor": GROUND, "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    axes.text(
        left + _SCALE_M / 2, low + 1.2, f"{_SCALE_M} m", fontsize=8, color=INK, ha="center",
        va="bottom", bbox=box, zorder=9,
    )  # fmt: skip


def _draw_legend(
    side: Any, facts: DetectionFacts, truth: Marks, found: Marks, caption: Caption
) -> None:
    """What colours mean, and the signs of classes with their numbers on the map."""
    side.set_axis_off()
    side.set_xlim(0, 1)
    side.set_ylim(28, 0)
    line = {"linewidth": 1.8, "solid_capstyle": "butt"}
    kinds = [
        (Line2D([0, 0.13], [0.6, 0.6], color=TRUTH, **line), f"truth ({len(truth)})"),
        (
            Line2D([0, 0.13], [1.6, 1.6], color=TRUTH, linewidth=1.8, linestyle=(0, (2.2, 1.4))),
            f"no point in it: not scored ({int(truth.bare.sum())})",
        ),
        (
            Line2D([0, 0.13], [2.6, 2.6], color=FOUND, **line),
            f"found, score {caption.least:g} or more ({len(found)})",
        ),
    ]
    for row, (stroke, text) in enumerate(kinds):
        side.add_line(stroke)
        side.text(0.17, row + 0.6, text, fontsize=8.5, va="center", color=INK)
    small = {"fontsize": 7.5, "va": "center", "color": PALE}
    side.text(0.17, 3.4, "the stronger, the surer", **small)
    side.text(0.17, 4.0, "a line points where a box heads", **small)
    for place, text, colour in ((0.78, "truth", TRUTH), (0.97, "found", FOUND)):
        side.text(place, 5.4, text, fontsize=8.5, ha="right", va="center", color=colour)
    for row, name in enumerate(facts.names):
        at = 6.4 + row
        side.plot(0.06, at, marker=marker_of(row), markersize=4.5, color=INK, linestyle="")
        side.text(0.17, at, name.replace("_", " "), fontsize=8.5, va="center", color=INK)
        for place, marks in ((0.78, truth), (0.97, found)):
            count = int((marks.label == row).sum())
            ink = INK if count else RING
            side.text(place, at, str(count), fontsize=8.5, ha="right", va="center", color=ink)
    side.text(0, 28, caption.note, fontsize=7, color=PALE, va="bottom", wrap=True)

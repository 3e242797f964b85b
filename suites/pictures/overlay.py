"""One frame through its cameras: truth and predictions projected into every image.

Offers `figure_cameras`. Images lie as one who drives turns the head; those that look back have a
row of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lima_bench.datasets.card import Card
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import Camera, Float64, Sample
from lima_bench.suites.examine.picture import abreast
from lima_bench.suites.pictures.looks import (
    FOUND,
    GROUND,
    INK,
    PALE,
    TRUTH,
    Caption,
    inks,
    strength,
)
from lima_bench.suites.pictures.marks import EDGES, Marks
from lima_bench.suites.pictures.sight import seen_edges

_WIDTH, _EDGE, _GAP, _TOP, _NAME = 11.0, 0.2, 0.1, 0.72, 0.22
"""Inches."""


def figure_cameras(
    sample: Sample, card: Card, truth: Marks, found: Marks, caption: Caption
) -> Figure | None:
    """The page of one frame; None where it has no image.

    Args:
        sample: With cameras and pose.
        card: Says which way is ahead.
        truth: Annotated boxes, LiDAR frame.
        found: Predictions from `caption.least` on, same frame.
        caption: What it says of itself.

    Raises:
        UserError: An image cannot be read.
    """
    ranks = abreast(sample, card)
    if not ranks:
        return None
    most = max(map(len, ranks))
    width = (_WIDTH - 2 * _EDGE - _GAP * (most - 1)) / most
    tall = max(camera.height / camera.width for camera in sample.cameras) * width
    height = _TOP + len(ranks) * (_NAME + tall) + _EDGE
    figure = Figure(figsize=(_WIDTH, height), facecolor=GROUND)
    for row, rank in enumerate(ranks):
        bottom = height - _TOP - (row + 1) * (_NAME + tall)
        for column, place in enumerate(rank):
            left = _EDGE + column * (width + _GAP)
            inches = np.array([left, bottom, width, tall])
            frame = inches / [_WIDTH, height, _WIDTH, height]
            axes = figure.add_axes(tuple(frame.tolist()))
            _draw_camera(axes, sample, sample.cameras[place], truth, found, caption.least)
    _draw_heading(figure, height, caption)
    return figure


def _draw_heading(figure: Figure, height: float, caption: Caption) -> None:
    left = _EDGE / _WIDTH
    figure.text(left, 1 - 0.14 / height, caption.detector, va="top", fontsize=13, weight="bold")
    figure.text(left, 1 - 0.44 / height, caption.frame, va="top", fontsize=9, color=PALE)
    kinds = {TRUTH: "truth", FOUND: f"found, score {caption.least:g} or more: stronger is surer"}
    figure.legend(
        [Line2D([], [], color=colour, linewidth=2) for colour in kinds],
        list(kinds.values()),
        loc="upper right",
        bbox_to_anchor=(1 - left, 1 - 0.05 / height),
        ncols=2,
        fontsize=9,
        frameon=False,
    )


def _draw_camera(
    axes: Any, sample: Sample, camera: Camera, truth: Marks, found: Marks, least: float
) -> None:
    axes.imshow(read_image(camera), interpolation="bilinear", aspect="auto")
    assert sample.lidar_to_global is not None
    pose = sample.lidar_to_global
    _draw_boxes(axes, truth, camera, pose, TRUTH, np.ones(len(truth)), 1.1)
    _draw_boxes(axes, found, camera, pose, FOUND, strength(found.score, least), 0.8)
    axes.set_xlim(-0.5, camera.width - 0.5)
    axes.set_ylim(camera.height - 0.5, -0.5)
    axes.set_title(camera.name, fontsize=8, loc="left", color=INK, pad=3)
    axes.set_axis_off()


def _draw_boxes(
    axes: Any,
    marks: Marks,
    camera: Camera,
    pose: Float64,
    colour: str,
    alpha: Float64,
    width: float,
) -> None:
    """Twelve edges and the heading of every box, as far as the image goes."""
    ends = np.concatenate([marks.corners[:, EDGES], marks.headings[:, None]], axis=1)
    lines, seen = seen_edges(ends.reshape(-1, 2, 3), pose, camera)
    strokes = np.repeat(alpha, ends.shape[1])[seen]
    axes.add_collection(LineCollection(list(lines), colors=inks(colour, strokes), linewidths=width))

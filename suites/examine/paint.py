"""In which colour a point is drawn, and from where the car is looked at.

Offers `Paint` and `paint_of` (colours of a sample's points), `ahead_first` (points in axes that do
not depend on the data set) and `azimuth_deg`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Float64, Int64, Sample

IGNORED = (206, 206, 200)
"""Colour of points that are neither learnt from nor scored."""

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Paint:
    """How the points of a sample are drawn.

    Attributes:
        colour: (N, 3) red, green, blue in 0..1.
        order: (N,) rows in the order of drawing: what is small or ignored would else be hidden.
        by_class: Whether colours are those of classes; else they tell the height.
        heights_m: Heights of the darkest and the brightest colour.
    """

    colour: Float64
    order: Int64
    by_class: bool
    heights_m: tuple[float, float]


def paint_of(sample: Sample, card: Card) -> Paint:
    """Class colours of the card; heights where the sample has no labels."""
    low, high = np.percentile(sample.points[:, 2], (2, 98)).tolist()
    if sample.labels is None:
        colour = rainbow(sample.points[:, 2], low, high)
        return Paint(colour, np.arange(len(colour)), False, (low, high))
    table = np.tile(np.array(IGNORED) / 255, (IGNORE + 1, 1))
    for train_id, info in enumerate(card.classes):
        table[train_id] = np.array(info.colour) / 255
    counts = np.bincount(sample.labels, minlength=IGNORE + 1)
    counts[IGNORE] = len(sample.labels) + 1  # first, so that it hides nothing
    order = np.argsort(-counts[sample.labels], kind="stable")
    return Paint(table[sample.labels], order, True, (low, high))


def rainbow(values: Floats, low: float, high: float) -> Float64:
    """Colours (N, 3) of values between `low` and `high`."""
    from matplotlib import colormaps

    scaled = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)
    colours: Float64 = colormaps["turbo"](0.05 + 0.9 * scaled)[:, :3]
    return colours


def ahead_first(card: Card, vectors: Floats) -> Float64:
    """LiDAR-frame vectors (N, 3) in axes x ahead, y left, z up, by the card's `frame_axes`."""
    match = re.search(r"\b([xy]) (ahead|back)", card.frame_axes)
    axis, way = match.groups() if match else ("x", "ahead")
    x, y, z = np.moveaxis(vectors.astype(np.float64), -1, 0)
    ahead, left = (x, y) if axis == "x" else (y, -x)
    turned: Float64 = np.stack((ahead, left, z) if way == "ahead" else (-ahead, -left, z), axis=-1)
    return turned


def azimuth_deg(vectors: Float64) -> Float64:
    """Direction of `ahead_first` vectors (N, 3): 0 ahead, 90 left, -90 right."""
    angles: Float64 = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0]))
    return angles

"""How truth and predictions look in every picture. Light: no matplotlib.

Offers `Caption`, `TRUTH`, `FOUND`, `marker_of`, `strength`, `inks` and a few colours. Truth is blue and
predictions are red, as in figure 5 of the LiMA paper; both are told apart with every kind of colour
vision. A prediction is the stronger the surer the detector was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Float64

TRUTH, FOUND = "#0A53C8", "#D81E1E"
INK, PALE, RING, GROUND = "#23262B", "#6C717A", "#C9CED6", "#FFFFFF"

WEAKEST = 0.35
"""Opacity of a prediction at the lowest score that is drawn."""

_MARKERS = "sDhpP^v>o*dX<"


@dataclass(frozen=True)
class Caption:
    """What a picture says of itself.

    Attributes:
        detector: How it was taught, and on which labels.
        frame: The recording and the frame.
        least: Score from which predictions are drawn.
        note: Small print.
    """

    detector: str
    frame: str
    least: float
    note: str = ""


def marker_of(label: int) -> str:
    """The sign of a class, in matplotlib's letters."""
    return _MARKERS[label % len(_MARKERS)]


def strength(score: Float64, least: float) -> Float64:
    """Opacity: `WEAKEST` at the lowest score that is drawn, 1 at a score of 1."""
    share = np.clip((score - least) / max(1.0 - least, 1e-9), 0.0, 1.0)
    drawn: Float64 = WEAKEST + (1.0 - WEAKEST) * share
    return drawn


def inks(colour: str, opacity: Float64) -> Float64:
    """The colour (B, 4) of every box as red, green, blue and opacity in 0..1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return np.column_stack([np.tile(parts, (len(opacity), 1)), opacity])

"""How methods look in figures: a colour, a marker and a line each, the same in every figure. Pure.

Offers `Look`, `look_of` and `PAGE` (matplotlib's settings). The colours are those of Okabe and Ito,
told apart with every kind of colour vision; markers and lines repeat what colours say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BLUE, _VERMILION, _GREEN, _ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
_SKY, _PURPLE, _BLACK, _GREY = "#56B4E9", "#CC79A7", "#000000", "#7F7F7F"

PAGE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look alike everywhere
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "figure.titleweight": "bold",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#5A5F69",
    "grid.color": "#E3E5E9",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "savefig.facecolor": "white",
    "svg.hashsalt": "lima-bench",  # else every file names its parts anew
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn.

    Attributes:
        colour: Of line, marker and band.
        marker: In matplotlib's letters.
        line: Likewise.
    """

    colour: str
    marker: str
    line: str = "-"


_LOOKS = {
    "lima": Look(_BLUE, "o"),
    "scalr": Look(_VERMILION, "s"),
    "superflow": Look(_GREEN, "^"),
    "seal": Look(_ORANGE, "D"),
    "slidr": Look(_PURPLE, "v"),
    "cleverdistiller": Look(_SKY, "P"),
    "random": Look(_GREY, "x", "--"),
    "ppkt": Look(_BLACK, "<", "-."),
    "st_slidr": Look(_PURPLE, ">", "-."),
    "tricc": Look(_SKY, "h", "-."),
    "csc": Look(_ORANGE, "p", "-."),
    "hvdistill": Look(_GREEN, "d", "-."),
    "pointcontrast": Look(_BLACK, "*", ":"),
    "gcc3d": Look(_VERMILION, "X", ":"),
}
_OTHERS = tuple(
    Look(colour, marker, ":")
    for colour, marker in ((_BLUE, "1"), (_GREEN, "2"), (_PURPLE, "3"), (_ORANGE, "4"))
)


def look_of(method: str, order: int = 0) -> Look:
    """The look of a method; of one that is not known here, by its place `order` in the table."""
    return _LOOKS.get(method) or _OTHERS[order % len(_OTHERS)]

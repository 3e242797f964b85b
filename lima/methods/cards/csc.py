"""CSC: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive
from lima_bench.lima.recipes import Settings


class CscSettings(Settings):
    """CSC; see `lima_bench.lima.methods.csc`.

    Values: its released code (methods-spatial 6).

    Attributes:
        width: Of the space in which points, pixels and prototypes are compared.
        temperature: Of the contrast of superpixels.
        cluster_temperature: Of the contrast with prototypes.
        classes: Prototypes: one more than the largest id that a mask may have; 150 of ADE20K.
        hidden: Width of the network that mixes both prototypes of a class.
        refresh_every: Share of the run after which prototypes are made anew, and after which they
            begin to count; published: every 5 of 50 epochs.
        csc_index_shift: Match class c with the prototype of class c + 1, as the release does by a
            slip; off: with its own.
    """

    width: Count = 64
    temperature: Positive = 0.07
    cluster_temperature: Positive = 1.0
    classes: Count = 150
    hidden: Count = 128
    refresh_every: Fraction = 0.1
    csc_index_shift: bool = False


CARD = MethodCard(
    name="csc",
    title="CSC",
    venue="CVPR'24",
    implementation="lima_bench.lima.methods.csc:Csc",
    settings=CscSettings,
    needs=("features", "superpixels", "survey"),
    segments="semantic",
    heads_2d="linear",
    reconstruction=True,
    note="The published masks come from a segmentation head that was taught with labels (ADE20K).",
)

"""SLidR: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, MethodCard, Positive
from lima_bench.lima.recipes import Settings


class SlidrSettings(Settings):
    """SLidR; see `lima_bench.lima.methods.slidr`.

    Values: its released configuration (methods-spatial 1.1).

    Attributes:
        width: Of the space in which points and pixels are compared.
        temperature: Of the contrast.
        renormalise_pool: Bring superpixel means back to unit length (TriCC does).
        mask_empty: Leave superpixels without points out (TriCC does not).
    """

    width: Count = 64
    temperature: Positive = 0.07
    renormalise_pool: bool = False
    mask_empty: bool = True


CARD = MethodCard(
    name="slidr",
    title="SLidR",
    venue="CVPR'22",
    version=2,
    implementation="lima_bench.lima.methods.slidr:Slidr",
    settings=SlidrSettings,
    needs=("features", "superpixels"),
    heads_2d="linear",
)

"""PPKT: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, MethodCard, Positive
from lima_bench.lima.recipes import Settings


class PpktSettings(Settings):
    """PPKT as SLidR's authors built it; see `lima_bench.lima.methods.ppkt`.

    Values: SLidR config/ppkt_nuscenes.yaml (methods-spatial 2).

    Attributes:
        width: Of the space in which points and pixels are compared.
        temperature: Of the contrast.
        n_pairs: Point-pixel pairs drawn from the scans of one device, without replacement; all
            of them where there are fewer.
    """

    width: Count = 64
    temperature: Positive = 0.07
    n_pairs: Count = 4096


CARD = MethodCard(
    name="ppkt",
    title="PPKT",
    venue="arXiv'21",
    implementation="lima_bench.lima.methods.ppkt:Ppkt",
    settings=PpktSettings,
    heads_2d="linear",
)

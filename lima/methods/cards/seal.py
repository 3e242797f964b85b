"""Seal: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, MethodCard, Positive, Weight
from lima_bench.lima.recipes import Settings


class SealSettings(Settings):
    """Seal, NeurIPS 2023; see `lima_bench.lima.methods.seal`. Only the three terms are published.

    Attributes:
        width: Of the space in which points, pixels and segments are compared.
        temperature: Of all three contrasts.
        points_per_scan: Points of a scan that a segment is told from; assumed.
        superpixel_weight: Of points against superpixels; assumed.
        temporal_weight: Of segments now against segments later; assumed.
        point_weight: Of points against segments; assumed.
    """

    width: Count = 64
    temperature: Positive = 0.07
    points_per_scan: Count = 4096
    superpixel_weight: Weight = 1.0
    temporal_weight: Weight = 1.0
    point_weight: Weight = 1.0


CARD = MethodCard(
    name="seal",
    title="Seal",
    venue="NeurIPS'23",
    implementation="lima_bench.lima.methods.seal:Seal",
    settings=SealSettings,
    needs=("features", "superpixels", "clusters"),
    segments="instances",
    clusters="segments",
    frames=2,
    heads_2d="linear",
    reconstruction=True,
    note="losses, ground removal and clustering are reconstructed: no training code is public",
)

"""CleverDistiller: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(
    name="cleverdistiller",
    title="CleverDistiller",
    venue="BMVC'25",
    reconstruction=True,
)

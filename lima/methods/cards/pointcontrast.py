"""PointContrast: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="pointcontrast", title="PointContrast", venue="ECCV'20")

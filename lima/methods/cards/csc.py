"""CSC: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="csc", title="CSC", venue="CVPR'24", reconstruction=True)

"""TriCC: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="tricc", title="TriCC", venue="CVPR'23", frames=2)

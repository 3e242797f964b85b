"""ST-SLidR: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="st_slidr", title="ST-SLidR", venue="CVPR'23")

"""SuperFlow: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="superflow", title="SuperFlow", venue="ECCV'24", frames=3)

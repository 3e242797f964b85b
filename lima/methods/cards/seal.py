"""Seal: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="seal", title="Seal", venue="NeurIPS'23", frames=2, reconstruction=True)

"""PPKT: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="ppkt", title="PPKT", venue="arXiv'21")

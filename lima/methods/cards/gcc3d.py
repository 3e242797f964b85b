"""GCC-3D: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard

CARD = MethodCard(name="gcc3d", title="GCC-3D", venue="ICCV'21", reconstruction=True)

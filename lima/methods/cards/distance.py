"""How far unit vectors are apart: the choice that regression methods share."""

from __future__ import annotations

from typing import Literal

Distance = Literal["l2norm", "cosine", "mse", "smooth_l1"]
"""See `lima_bench.lima.losses.unit_distances`."""

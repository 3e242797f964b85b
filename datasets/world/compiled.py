"""How the world compiles its inner loops.

Offers `compiled`. A product and a sum may be fused into one instruction, but nothing is reordered,
so that a machine always computes the same bits.
"""

from __future__ import annotations

from pathlib import Path

from lima_bench.datasets.compiled import compiler

compiled = compiler(Path(__file__).parent.glob("*.py"), fastmath={"contract"})
"""Kept until any source file of the world changes: they take functions from each other."""

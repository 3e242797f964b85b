"""How this part compiles its inner loops.

Offers `compiled`. A function made with it must not call one that is compiled in another file: the
copy on disk is renewed when its own file changes, not when another does. Callers pass arrays that
are contiguous, writable and of one type: those that ``python -m lima_bench.lima.warm`` has compiled
ahead.
"""

from __future__ import annotations

from lima_bench.datasets.compiled import compiler

compiled = compiler()

"""How this part compiles its inner loops.

Offers `compiled`, and `ZERO` and `ONE` of the type `Unsigned`. A function made with `compiled` must
not call one that is compiled in another file: the copy on disk is renewed when its own file
changes, not when another does. Callers pass arrays that are contiguous, writable and of one type:
those that ``python -m lima_bench.lima.warm`` has compiled ahead.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.compiled import compiler

compiled = compiler()

Unsigned = npt.NDArray[np.uint64]
ZERO, ONE = np.uint64(0), np.uint64(1)
"""For positions in innermost loops: a signed one is asked at every use whether it is negative."""

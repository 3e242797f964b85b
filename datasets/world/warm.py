"""Compile the world's inner loops ahead: ``python -m lima_bench.datasets.world.warm``.

numba keeps the machine code on disk beside the sources, so set-up pays for it once and every later
process loads it. Without this step the first rendering compiles by itself.
"""

from __future__ import annotations

from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.spec import SETS, named_spec


def main() -> None:
    """Record one short drive with each data set's sensors and throw it away."""
    spec = named_spec("smoke")
    for name in SETS:
        drive(spec, name, "val", 0)


if __name__ == "__main__":
    main()

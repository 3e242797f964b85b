"""Compile the world's inner loops ahead: ``python -m lima_bench.datasets.world.warm``.

numba keeps the machine code on disk beside the sources, so set-up pays for it once and every later
process loads it. Without this step the first rendering compiles by itself.
"""

from __future__ import annotations

from typing import get_args

from lima_bench.datasets.world.drive import Sensor, drive
from lima_bench.datasets.world.spec import named_spec


def main() -> None:
    """Record one short drive with each sensor rig and throw it away."""
    spec = named_spec("smoke")
    for sensor in get_args(Sensor):
        drive(spec, sensor, "val", 0)


if __name__ == "__main__":
    main()

"""What the built-in world costs: CPU seconds per keyframe, rendered and written.

Run ``.venv/bin/python benchmarks/world.py`` from the checkout, once for the compiler and once more
for the figures. CPU time of one thread; it moves by 10-25 % with whatever else the machine does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

from lima_bench.datasets.nuscenes import writer as nuscenes
from lima_bench.datasets.semantickitti import writer as semantickitti
from lima_bench.datasets.world.drive import Sensor, drive
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

WRITERS: dict[str, Callable[[Recording, Path], object]] = {
    "nuscenes": nuscenes.write_recording,
    "semantickitti": semantickitti.write_recording,
}
RECORDINGS = {"nuscenes": 12, "semantickitti": 3}

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result and the CPU seconds that it took."""
    before = time.process_time()
    result = work()
    return result, time.process_time() - before


def row(spec: WorldSpec, sensor: Sensor, folder: Path) -> tuple[float, float, int, int]:
    """CPU seconds per keyframe to render and to write; keyframes; bytes per keyframe."""
    render = write = keyframes = 0
    for index in range(RECORDINGS[sensor]):
        recording, seconds = timed(lambda i=index: drive(spec, sensor, "train", i))
        _, more = timed(lambda r=recording: WRITERS[sensor](r, folder))
        render, write = render + seconds, write + more
        keyframes += len(recording.moments)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return render / keyframes, write / keyframes, keyframes, size // keyframes


def main() -> None:
    """Print one line per profile and sensor."""
    print(f"{'profile':<10}{'sensor':<15}{'render s':>9}{'write s':>9}{'keyframes':>11}{'kB':>7}")
    for profile in ("smoke", "embedded"):
        spec = named_spec(profile)
        for sensor in get_args(Sensor):
            drive(spec, sensor, "val", 0)
            with tempfile.TemporaryDirectory() as folder:
                render, write, keyframes, size = row(spec, sensor, Path(folder))
            print(
                f"{profile:<10}{sensor:<15}{render:>9.4f}{write:>9.4f}"
                f"{keyframes:>11}{size / 1e3:>7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())

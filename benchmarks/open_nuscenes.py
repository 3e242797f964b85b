"""A child of `benchmarks.index`: opens nuScenes once; prints times and peak memory as JSON.

``python -m benchmarks.open_nuscenes ours|devkit ROOT``. What is imported is not part of the
seconds, but it is part of the memory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.children import resident_bytes


def ours(root: Path) -> Callable[[], int]:
    """Our reader: every frame of the training split."""
    from lima_bench.datasets.nuscenes.reader import NuScenes

    return lambda: len(NuScenes().frames(root, "train"))


def devkit(root: Path) -> Callable[[], int]:
    """The official kit, with its reverse indices."""
    from nuscenes import NuScenes

    return lambda: len(NuScenes("v1.0-trainval", str(root), verbose=False).sample)


def main(contender: str, root: str) -> None:
    """Open once."""
    warnings.simplefilter("ignore")  # fewer scenes than the split has
    work = {"ours": ours, "devkit": devkit}[contender](Path(root))
    loaded = resident_bytes("VmHWM")
    cpu, wall = time.process_time(), time.perf_counter()
    n_frames = work()
    took = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    memory = {"peak": resident_bytes("VmHWM"), "loaded": loaded}
    print(json.dumps({**took, **memory, "frames": n_frames}))


if __name__ == "__main__":
    main(*sys.argv[1:])

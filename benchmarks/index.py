"""Opening nuScenes in its real size: 850 scenes, 2.6 million files, 1.2 million boxes.

Offers `rows`, and `opening_rows` for any number of scenes. Tables of that size are generated, some
2.6 GB of text; then our reader opens them without a kept index, with it, and the official kit does,
each in a process of its own. Minutes and 10 GB of memory, for the kit, so on request only:
``python -m benchmarks index``. The tables were just written, so nobody waits for a disk. Memory is
the peak of the whole process, interpreter and imports included.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.children import answer
from benchmarks.nuscenes_tables import FULL, write_version
from benchmarks.rows import Row, Sample
from lima_bench.datasets.cache_folder import VARIABLE

LIMIT_S = 2.0
"""For opening the full size once its index is kept."""


def rows(quick: bool) -> list[Row]:
    """The full size; a few scenes, if `quick`."""
    return opening_rows("index/nuscenes", 2 if quick else FULL, rounds=1 if quick else 5)


def opening_rows(name: str, n_scenes: int, rounds: int) -> list[Row]:
    """Cold, warm and by the official kit, as ratios; warm also in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "nuscenes", Path(folder) / "cache"
        write_version(root, n_scenes)
        extra = {VARIABLE: str(cache)}
        cold = _open("ours", root, extra)
        warm = [_open("ours", root, extra) for _ in range(rounds)]
        kit = _open("devkit", root, extra)
        kept_mb = sum(path.stat().st_size for path in cache.rglob("*.npy")) / 1e6
    wall, cpu = (Sample(tuple(run[clock] for run in warm)) for clock in ("wall_s", "cpu_s"))
    peak = max(run["peak"] for run in warm)
    cold_memory = (
        f"{_mb(cold)} MB, the kit {_mb(kit)} MB; {_mb(cold, 'loaded')} and {_mb(kit, 'loaded')} MB "
        "of them before the tables are opened"
    )
    return [
        Row.of(
            f"{name} cold over devkit/time", kit["cpu_s"] / cold["cpu_s"], "x", at_least=1.0,
            note=f"CPU; wall {cold['wall_s']:.1f} s, the kit {kit['wall_s']:.1f} s; "
            f"{n_scenes} scenes",
        ),
        Row.of(
            f"{name} cold over devkit/memory", kit["peak"] / cold["peak"], "x", at_least=1.0,
            note=cold_memory,
        ),
        Row.of(
            f"{name} warm", wall, "s", at_most=LIMIT_S,
            note=f"wall; {warm[0]['frames']} frames; {kept_mb:.0f} MB are kept",
        ),
        Row.of(
            f"{name} warm over devkit/time", cpu.map(lambda s: kit["cpu_s"] / s), "x", note="CPU"
        ),
        Row.of(
            f"{name} warm over devkit/memory", kit["peak"] / peak, "x",
            note=f"{peak / 1e6:.0f} MB, the kit {_mb(kit)} MB",
        ),
    ]  # fmt: skip


def _open(contender: str, root: Path, extra: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = answer("benchmarks.open_nuscenes", contender, str(root), extra=extra)
    return found


def _mb(run: Mapping[str, Any], what: str = "peak") -> str:
    return f"{run[what] / 1e6:.0f}"

"""The data path up to a sample: rendering a keyframe, writing it, opening nuScenes.

Offers `rows`. Rendering has no peer; its unit is CPU time per keyframe, and the note tells how many
products of two 1024 x 1024 matrices that is, which machines can be compared by. Opening nuScenes is
compared with its devkit on the same files, the devkit's own tables and reverse indices included.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.layers import MM_SIDE
from benchmarks.rows import Row, interleave
from benchmarks.streets import spec, street
from lima_bench.datasets.nuscenes import index
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.tables import versions
from lima_bench.datasets.nuscenes.writer import write_recording
from lima_bench.datasets.world.drive import drive

AIM_MS = 50.0
"""Of one keyframe: six images of 112 x 192, a scan of 32 x 480, one sweep."""


def rows(quick: bool) -> list[Row]:
    """World first, then the index of what was written."""
    return [*_world_rows(quick), *_index_rows(quick)]


def _world_rows(quick: bool) -> list[Row]:
    world = spec(quick)
    matrix = torch.randn(MM_SIDE, MM_SIDE)
    recording = drive(world, "nuscenes", "train", 0)
    keyframes = len(recording.moments)
    with tempfile.TemporaryDirectory() as folder:
        work: dict[str, Callable[[], object]] = {
            "mm": lambda: matrix @ matrix,
            "rendered": lambda: drive(world, "nuscenes", "train", 0),
            "written": lambda: write_recording(recording, Path(folder)),
        }
        timings = interleave(work, rounds=2 if quick else 5)
    found = []
    for name, aim in (("rendered", AIM_MS), ("written", None)):
        products = timings.ratio(name, "mm").median / keyframes
        note = f"{keyframes} keyframes; each as long as {products:.1f} x torch.mm({MM_SIDE})"
        sample = timings.sample(name, 1e3 / keyframes)
        target = None if quick else aim
        row = Row.of(f"data/world keyframe {name}", sample, "CPU ms", at_most=target, note=note)
        found.append(row)
    return found


def _index_rows(quick: bool) -> list[Row]:
    root = street(quick)
    version = next(iter(versions(root)))
    n_frames = 0

    def ours() -> None:
        nonlocal n_frames
        index.open_index.cache_clear()
        n_frames = len(NuScenes().frames(root, "train"))

    def devkit() -> None:
        from nuscenes import NuScenes as Devkit

        with contextlib.redirect_stdout(io.StringIO()):
            Devkit(version, str(root), verbose=False)

    timings = interleave({"ours": ours, "devkit": devkit}, rounds=3 if quick else 9)
    ms = timings.sample("ours", 1e3).median
    note = f"{ms:.1f} ms for {n_frames} keyframes ({ms / n_frames * 1e3:.0f} ms per 1000)"
    return [Row.of("data/nuscenes index over devkit", timings.ratio("devkit", "ours"), "x", note=note)]

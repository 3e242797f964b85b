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
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.index import opening_rows
from benchmarks.layers import MM_SIDE
from benchmarks.nuscenes_tables import FEW
from benchmarks.rows import Row, interleave
from benchmarks.streets import spec
from lima_bench.datasets.nuscenes.index import build_index
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.rows import recording_tables
from lima_bench.datasets.nuscenes.writer import VERSION, write_recording, write_tables
from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.recording import Recording

COPIES, COPIES_QUICK = 128, 2
"""Scenes whose tables are opened; 8 keyframes each."""
AIM_MS = 50.0
"""Of one keyframe: six images of 112 x 192, a scan of 32 x 480, one sweep."""


def rows(quick: bool) -> list[Row]:
    """World first, then the index of what was written, then that of tables with a real shape."""
    opened = opening_rows("data/nuscenes", 2 if quick else FEW, rounds=1 if quick else 5)
    return [*_world_rows(quick), *_index_rows(quick), *opened]


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
    world = spec(quick)
    recording = drive(world, "nuscenes", "train", 0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        n_frames = _many_scenes(recording, COPIES_QUICK if quick else COPIES, root)
        work: dict[str, Callable[[], object]] = {
            "ours": lambda: _open(root, n_frames),
            "devkit": lambda: _open_by_devkit(root),
        }
        timings = interleave(work, rounds=3 if quick else 5)
    ms = timings.sample("ours", 1e3).median
    note = (
        f"{ms:.0f} ms for {n_frames} keyframes, {ms / n_frames * 1e3:.0f} ms per 1000; "
        f"one sweep a keyframe, nuScenes has nine"
    )
    ratio = timings.ratio("devkit", "ours")
    return [Row.of("data/nuscenes index over devkit", ratio, "x", note=note)]


def _many_scenes(recording: Recording, copies: int, root: Path) -> int:
    """Write the tables of one drive under many names, files empty or absent; keyframes in all."""
    named = (replace(recording, name=f"scene-{number:04}") for number in range(1, copies + 1))
    tables = [recording_tables(one, VERSION) for one in named]
    write_tables(tables, root, pretrain=[])
    (root / "lidarseg" / VERSION).mkdir(parents=True)
    for row in (row for one in tables for row in one.rows["lidarseg"]):
        (root / row["filename"]).touch()  # the devkit counts them
    return copies * len(recording.moments)


def _open(root: Path, n_frames: int) -> None:
    assert len(build_index(root / VERSION, NuScenes.card).samples) == n_frames


def _open_by_devkit(root: Path) -> None:
    from nuscenes import NuScenes as Devkit

    with contextlib.redirect_stdout(io.StringIO()):
        Devkit(VERSION, str(root), verbose=False)

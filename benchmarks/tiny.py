"""The small student of the built-in world: training steps a second of one core, one scan each.

Offers `rows`. A step is kernel maps, forward, backward and AdamW, on a scan of 6,000 voxels.
Loaders build the maps ahead; the second figure is a step that finds them built.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.contenders import engines, our_engine
from benchmarks.nets import contestant
from benchmarks.rows import Row, interleave
from benchmarks.scans import QUICK, SMALL, scan_voxels
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.backbones.sparse.maps import Level

BACKBONE = "minkunet_tiny"
TARGET_STEPS = 25.0
AIM_STEPS = 40


def rows(quick: bool) -> list[Row]:
    """Steps per CPU second, and how many times the reference engine's."""
    bare = scan_voxels(QUICK if quick else SMALL)
    built = replace(bare, level=Level.of(bare.coords, BACKBONES.get(BACKBONE).n_levels))
    work = {
        f"{name}{kind}": contestant(BACKBONE, name, voxels).learn
        for name in engines()
        for kind, voxels in (("", bare), ("/maps built", built))
    }
    timings = interleave(work, rounds=3 if quick else 21)
    found = []
    for name in work:
        ours = name == our_engine()
        steps = timings.sample(name).map(lambda seconds: 1 / seconds)
        note = f"{len(bare.coords)} voxels; {timings.sample(name, 1e3).median:.1f} ms a step"
        if ours:
            note += f"; aim {AIM_STEPS}"
        target = TARGET_STEPS if ours else None
        row = Row.of(f"tiny/{name}", steps, "steps/CPU s", at_least=target, note=note)
        found.append(row)
    ratio = timings.ratio("reference", our_engine())
    return [*found, Row.of("tiny/over reference", ratio, "x")]

"""One point of LiMA's curve, in a process of its own: seconds and peak memory of training steps.

Offers `Setting`, `Cost` and `cost`. ``python -m benchmarks.recall SETTING`` prints a `Cost` as
JSON, SETTING being JSON as well. Steps are those of the real method on batches of the real loader;
the teacher's grids are noise of the wanted width, whose values cost the same as any others. The
memory is filled first.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from benchmarks.children import ROOT, resident_bytes
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Source
from lima_bench.lima.api import load_method
from lima_bench.lima.batch import Batch
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.features import CachedTeacher, Grids
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.optimise import build_optimiser, one_group
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.pretrain import new_student
from lima_bench.lima.recipes import PretrainRecipe, StudentSettings, VoxelSettings

BATCH = 2
MIB = 1 << 20


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        method: Its name.
        options: Its settings.
        backbone: The student's.
        coarse: How many times as long as the paper's the voxels' edges are.
        world: Root of a nuScenes-like data set.
        grids: Folder of the teacher's features.
        fill: Steps that only fill the memory.
        steps: Steps that are measured.
    """

    method: str
    options: dict[str, Any]
    backbone: str
    coarse: float
    world: str
    grids: str
    fill: int
    steps: int


@dataclass(frozen=True)
class Cost:
    """What it took.

    Attributes:
        step_s: CPU seconds of each measured step, per scan.
        load_s: CPU seconds of loading each step's batch, per scan.
        wall_s: Wall seconds of each step and its loading, per scan.
        peak_mib: Resident memory at its peak above that of the idle process, files not counted.
        points: Of a scan, on average.
        voxels: Of a step, mixtures included.
    """

    step_s: list[float]
    load_s: list[float]
    wall_s: list[float]
    peak_mib: float
    points: float
    voxels: int


def cost(setting: Setting) -> Cost:
    """Fill the memory, then take the steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    idle = resident_bytes("RssAnon")
    batches, method, optimiser = _made(setting)
    for step in range(setting.fill if hasattr(method, "targets") else 0):
        method.targets(batches[step])
    batch = batches[setting.fill]
    _take(method, optimiser, batch)  # the first step warms up
    spans = []
    for step in range(setting.fill + 1, setting.fill + 1 + setting.steps):
        start = _now()
        batch = batches[step]
        ready = _now()
        _take(method, optimiser, batch)
        spans.append((start, ready, _now()))
    return Cost(
        step_s=[(end.cpu - ready.cpu) / BATCH for _, ready, end in spans],
        load_s=[(ready.cpu - start.cpu) / BATCH for start, ready, _ in spans],
        wall_s=[(end.wall - start.wall) / BATCH for start, _, end in spans],
        peak_mib=(resident_bytes("VmHWM") - resident_bytes("RssFile") - idle) / MIB,
        points=len(batch.xyz) / BATCH,
        voxels=len(batch.voxels.coords),
    )


def _take(method: Any, optimiser: torch.optim.Optimizer, batch: Batch) -> None:
    """One training step."""
    method(batch).total.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


class _Instant(NamedTuple):
    cpu: float
    wall: float


def _now() -> _Instant:
    return _Instant(time.process_time(), time.perf_counter())


def _made(setting: Setting) -> tuple[PretrainBatches, Any, torch.optim.Optimizer]:
    card, reader = METHODS.get(setting.method), NuScenes()
    source = Source(reader.card, reader.frames(Path(setting.world), "pretrain"), reader.load)
    recipe = PretrainRecipe.model_validate(_settings("paper-pretrain") | {"batch_size": BATCH})
    settings = card.settings.model_validate(setting.options)
    student = _student(setting)
    grids = Grids.open(Path(setting.grids))
    made = load_method(card)
    learner = new_student(student, bn_momentum=recipe.bn_momentum, seed=0)
    method = made(settings, CachedTeacher.of(grids, standardised=False), learner)
    # Every point of the curve sees the same scans, ScaLR too.
    order = make_order("streams", source.frames, Share(BATCH), 0)
    batches = PretrainBatches(
        source,
        student,
        recipe,
        Planner(made, settings),
        ImageInputs(grids=grids),
        order,
        seed=0,
        with_maps=True,
    )
    return batches, method, build_optimiser(recipe.optimiser, one_group(method, 1e-3))


def _student(setting: Setting) -> StudentSettings:
    paper = StudentSettings.model_validate(_settings("paper-student"))
    rho, phi, z = (edge * setting.coarse for edge in paper.voxels.size)
    voxels = VoxelSettings.model_validate(paper.voxels.model_dump() | {"size": (rho, phi, z)})
    return paper.model_copy(update={"backbone": setting.backbone, "voxels": voxels})


def _settings(recipe: str) -> dict[str, Any]:
    path = ROOT / "suites" / "recipes" / f"{recipe}.yaml"
    settings: dict[str, Any] = yaml.safe_load(path.read_text())["settings"]
    return settings


if __name__ == "__main__":
    print(json.dumps(asdict(cost(Setting(**json.loads(sys.argv[1]))))))

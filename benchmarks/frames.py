"""LiMA's curve: what more frames cost in time and memory, beside ScaLR and the paper's own curve.

Offers `rows`; ``python -m benchmarks.frames [--full]`` prints the curve itself. Every point runs in
a process of its own (`benchmarks.recall`), points take turns. As in the paper the student is a
MinkUNet-34 and the teacher's features are 768 wide, for six cameras of 16 x 32 patches; scans are
the built-in world's, as dense as a nuScenes sensor's. Unless in full, voxels are twice as long as
the paper's: the student then costs half, so what the memory adds weighs twice.

LiMA shows one mixture for every two scans, so its student sees half as many rows again as ScaLR's;
the curve without mixtures is given for orientation.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.children import ROOT, answer
from benchmarks.recall import Cost, Setting
from benchmarks.rows import Row, Sample
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Source
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.lima.image_store import cameras_of, write_store

MOST_FRAMES = 8
SLOWER, LARGER = 1.25, 1.15  # targets of 8 frames over 1
PAPER = ROOT / "results" / "paper" / "lima2025" / "efficiency.csv"


@dataclass(frozen=True)
class Sizes:
    """How large a measurement is.

    Attributes:
        frames: Of the curve.
        rounds: Turns of every point.
        steps: Measured in each turn.
        azimuths: LiDAR columns per turn.
        width: Of the teacher's features.
        backbone: The student's.
        coarse: Voxel edges over the paper's.
    """

    frames: tuple[int, ...] = tuple(range(1, MOST_FRAMES + 1))
    rounds: int = 2
    steps: int = 1
    azimuths: int = 1340
    width: int = 768
    backbone: str = "minkunet34"
    coarse: float = 2.0


DEFAULT = Sizes()
FULL = Sizes(rounds=3, steps=2, coarse=1.0)
QUICK = Sizes(frames=(1, 8), rounds=1, azimuths=120, width=64, backbone="minkunet_tiny")


@dataclass
class Point:
    """One point of the curve with what every turn found.

    Attributes:
        name: For the table.
        method: Its name.
        options: Its settings.
        costs: One per turn.
    """

    name: str
    method: str
    options: dict[str, object]
    costs: list[Cost] = field(default_factory=list)

    @property
    def seconds(self) -> Sample:
        """CPU seconds per scan of a step and its loading, of each turn."""
        return Sample(tuple(statistics.median(map(sum, _spans(cost))) for cost in self.costs))

    @property
    def wall_s(self) -> float:
        """Wall seconds per scan."""
        return statistics.median(span for cost in self.costs for span in cost.wall_s)

    @property
    def mib(self) -> Sample:
        """Peak memory of each turn."""
        return Sample(tuple(cost.peak_mib for cost in self.costs))


def _spans(cost: Cost) -> Iterator[tuple[float, float]]:
    return zip(cost.step_s, cost.load_s, strict=True)


def rows(quick: bool) -> list[Row]:
    """Targets first, then every point over ScaLR with the paper's own ratio beside it."""
    sizes = QUICK if quick else DEFAULT
    found = measure(sizes)
    scans = found["ScaLR"].costs[0]
    note = (
        f"{sizes.backbone}, {scans.points:.0f} points a scan, {scans.voxels} voxels a batch of two "
        f"with ScaLR, features {sizes.width} wide; CPU time with loading, one thread"
    )
    listed = []
    for kind, plain in (("LiMA", ""), ("LiMA unmixed", " unmixed")):
        seconds, mib = (_over(found, f"{kind} {MOST_FRAMES}", f"{kind} 1", w) for w in _FIGURES)
        goals = (None, None) if plain or quick else (SLOWER, LARGER)
        listed += [
            Row.of(f"frames/8 over 1{plain}/time", seconds, "x", at_most=goals[0], note=note),
            Row.of(f"frames/8 over 1{plain}/memory", mib, "x", at_most=goals[1], note=note),
        ]
    paper = paper_ratios()
    for point in (point for point in found.values() if point.method == "lima"):
        for figure, title in _FIGURES.items():
            told = paper.get(point.name, {}).get(figure)
            said = "" if told is None else f"the paper: {told:.2f} x"
            ratio = _over(found, point.name, "ScaLR", figure)
            listed.append(Row.of(f"frames/{point.name} over ScaLR/{title}", ratio, "x", note=said))
    return listed


_FIGURES = {"seconds": "time", "mib": "memory"}


def measure(sizes: Sizes) -> dict[str, Point]:
    """Every point of the curve by name, ScaLR first."""
    points = [Point("ScaLR", "scalr", {})]
    points += [Point(f"LiMA {n}", "lima", {"frames": n}) for n in sizes.frames]
    unmixed = [
        Point(f"LiMA unmixed {n}", "lima", {"frames": n, "mix": "none"}) for n in (1, MOST_FRAMES)
    ]
    with tempfile.TemporaryDirectory(prefix="lima-bench-frames-") as folder:
        world, grids = _data(sizes, Path(folder))
        for turn in range(sizes.rounds):
            for point in [*points, *(unmixed if turn == 0 else ())]:
                setting = Setting(
                    method=point.method,
                    options=point.options,
                    backbone=sizes.backbone,
                    coarse=sizes.coarse,
                    world=str(world),
                    grids=str(grids),
                    fill=MOST_FRAMES - 1,
                    steps=sizes.steps,
                )
                told = answer("benchmarks.recall", json.dumps(asdict(setting)))
                point.costs.append(Cost(**told))
    return {point.name: point for point in (*points, *unmixed)}


def _data(sizes: Sizes, folder: Path) -> tuple[Path, Path]:
    """Two scenes, one for each scan of a batch, and features that are noise."""
    drive = NuScenesDrive(
        train_scenes=2,
        pretrain_scenes=2,
        pretrain_keyframes=MOST_FRAMES + sizes.steps,
        val_scenes=0,
        sweeps_per_keyframe=0,
        azimuths=sizes.azimuths,
        max_range_m=120.0,
    )
    build_world(WorldSpec(nuscenes=drive), folder, datasets=("nuscenes",))
    world, reader = folder / "nuscenes", NuScenes()
    source = Source(reader.card, reader.frames(world, "pretrain"), reader.load)
    rng = np.random.default_rng(0)
    shape = (16, 32, sizes.width)
    noise = (
        (camera.id, rng.standard_normal(shape, dtype=np.float32).astype(np.float16))
        for _, camera in cameras_of(source)
    )
    write_store(folder / "grids", noise, dict)
    return world, folder / "grids"


def _over(found: dict[str, Point], name: str, base: str, figure: str) -> Sample:
    """Ratio of two points, turn by turn."""
    ours, theirs = (getattr(found[which], figure).values for which in (name, base))
    return Sample(tuple(one / other for one, other in zip(ours, theirs, strict=False)))


def paper_ratios() -> dict[str, dict[str, float]]:
    """What the paper's table says: hours and gigabytes of each length over ScaLR's."""
    with PAPER.open() as file:
        table = {(row["method"], int(row["frames"])): row for row in csv.DictReader(file)}
    base = table["ScaLR", 1]
    columns = {"seconds": "hours", "mib": "memory_gb"}
    return {
        f"LiMA {frames}": {
            figure: float(row[column]) / float(base[column]) for figure, column in columns.items()
        }
        for (method, frames), row in table.items()
        if method == "LiMA"
    }


def main(arguments: Sequence[str]) -> None:
    """Print the curve."""
    found, paper = measure(FULL if "--full" in arguments else DEFAULT), paper_ratios()
    print(
        f"{'':<16}{'CPU s/scan':>11}{'wall':>7}{'x LiMA 1':>10}{'x ScaLR':>9}{'paper':>7}", end=""
    )
    print(f"{'MiB':>9}{'x LiMA 1':>10}{'x ScaLR':>9}{'paper':>7}")
    for name, point in found.items():
        wall = point.wall_s
        for number, figure in enumerate(_FIGURES):
            own: Sample = getattr(point, figure)
            ratios = (_over(found, name, base, figure).median for base in ("LiMA 1", "ScaLR"))
            one, scalr = (f"{ratio:.2f}" for ratio in ratios)
            told = paper.get(name, {}).get(figure)
            head = (
                f"{name:<16}{own.median:>11.3f}{wall:>7.2f}"
                if not number
                else f"{own.median:>9.0f}"
            )
            print(f"{head}{one:>10}{scalr:>9}{f'{told:.2f}' if told else '':>7}", end="")
        print()


if __name__ == "__main__":
    main(sys.argv[1:])

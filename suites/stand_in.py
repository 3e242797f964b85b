"""Makes the stand-in teacher: ``python -m lima_bench.suites.stand_in``.

Renders pictures of towns that no benchmark split shows, teaches the small network of
`lima_bench.lima.teachers.tiny` the materials, distances and heights that the simulator knows,
measures by a linear probe what it then knows of the 16 classes, and writes ``tiny.safetensors``,
``random_tiny.safetensors`` and ``tiny.json`` into the package. The teacher is taught with
simulator labels: it stands in for a foundation model, and is none.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from lima_bench.common.files import write_atomic
from lima_bench.common.hashing import file_digest
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Float32, Float64
from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.labels import NUSCENES_16, SCORED_16
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.recording import Picture
from lima_bench.datasets.world.spec import WorldSpec, named_spec
from lima_bench.lima.recipes import Settings
from lima_bench.lima.teachers import catalogue
from lima_bench.lima.teachers.catalogue import TEACHERS, TeacherCard
from lima_bench.lima.teachers.lesson import Lesson, LessonSettings, calibrate, teach
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.probe import ProbeScore, cells_of, probe
from lima_bench.lima.teachers.tiny import tiny

_FARTHEST_M = 80.0
_LOG = logging.getLogger("stand_in")


class StandInSettings(Settings):
    """How the stand-in is made and measured.

    Attributes:
        world: Spec of the world whose ``teacher`` split it is taught on.
        scenes: Scenes of that split, disjoint from every benchmark split.
        probe_scenes: Train scenes that the linear probe is fitted on; it is scored on val.
        probe_cells: Grid cells that it is fitted on.
        seed: Of the initial weights, the order of pictures and their corruption.
        lesson: How it is taught.
    """

    world: str = "embedded"
    scenes: int = 120
    probe_scenes: int = 24
    probe_cells: int = 40_000
    seed: int = 0
    lesson: LessonSettings = LessonSettings()


def pictures_of(spec: WorldSpec, split: str, n_scenes: int) -> list[Picture]:
    """Every picture of the first scenes of a split."""
    recordings = (drive(spec, "nuscenes", split, index) for index in range(n_scenes))
    return [
        picture
        for recording in recordings
        for moment in recording.moments
        for picture in moment.pictures
    ]


def make_lesson(pictures: Sequence[Picture], stride: int) -> Lesson:
    """Targets on a grid of cells of `stride` pixels from the simulator's maps."""

    def cells(maps: Float[Tensor, "pictures H W"]) -> Float[Tensor, "pictures h w"]:
        return F.avg_pool2d(maps[:, None], stride)[:, 0]

    ids = torch.from_numpy(np.stack([picture.material for picture in pictures]))
    material = torch.stack([cells((ids == number).float()) for number in Material], dim=-1)
    maps = torch.from_numpy(np.stack([geometry_of(picture) for picture in pictures]))
    solid = torch.from_numpy(np.stack([np.isfinite(p.depth) for p in pictures])).float()
    share = cells(solid)
    total = torch.stack([cells(one) for one in maps.unbind(-1)], dim=-1)
    geometry = total / share.clamp(min=1e-6)[..., None]
    seen = geometry[share > 0]
    geometry = (geometry - seen.mean(0)) / seen.std(0) * (share > 0)[..., None]
    pixels = np.stack([picture.pixels.transpose(2, 0, 1) for picture in pictures])
    return Lesson(torch.from_numpy(pixels), material, geometry, share)


def geometry_of(picture: Picture) -> Float32:
    """(H, W, 2) log of the distance, and height above the ego's ground; 0 where there is sky."""
    rows, cols = picture.depth.shape
    col, row = np.meshgrid(np.arange(cols, dtype=np.float64), np.arange(rows, dtype=np.float64))
    rays = np.stack([col, row, np.ones_like(col)], -1) @ np.linalg.inv(picture.intrinsic).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    solid = np.isfinite(picture.depth)
    distance: Float64 = np.where(solid, picture.depth, 1.0).clip(0.1, _FARTHEST_M)
    to_ego = picture.camera_to_ego
    height = (rays * distance[..., None]) @ to_ego[2, :3] + to_ego[2, 3]
    both = np.stack([np.log(distance), height.clip(-5.0, 15.0)], axis=-1)
    return np.where(solid[..., None], both, 0.0).astype(np.float32)


def untaught(seed: int, lesson: Lesson) -> nn.Module:
    """Random weights, with BatchNorm statistics measured on the lesson's own pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initial weights"))
        network = tiny()
    calibrate(network, lesson.pixels)
    return network


def stored(network: nn.Module) -> dict[str, Tensor]:
    """The state as it ships: float16, in a fixed order."""
    state = network.state_dict().items()
    return {k: v.half().contiguous() if v.is_floating_point() else v for k, v in sorted(state)}


def make(settings: StandInSettings, folder: Path) -> Mapping[str, Any]:
    """Make both networks, measure them, write the three files; gives what ``tiny.json`` says."""
    torch.set_num_threads(1)
    spec = named_spec(settings.world)
    card = TEACHERS.get("tiny")
    with _timed("render and draw up the lesson"):
        lesson = make_lesson(pictures_of(spec, "teacher", settings.scenes), card.stride)
    networks = {name: untaught(settings.seed, lesson) for name in ("random_tiny", "tiny")}
    with _timed("teach"):
        teach(networks["tiny"], lesson, settings.lesson, settings.seed, _tell)
    for name, network in networks.items():
        write_atomic(folder / f"{name}.safetensors", save(stored(network)))
        network.load_state_dict(stored(network))  # what is probed is what ships
    with _timed("probe"):
        scores = _probe_all(settings, spec, card, networks)
    facts = {
        "what": "Stand-in, taught with simulator labels of other towns; no foundation model.",
        "settings": settings.model_dump(mode="json"),
        "world": spec.digest,
        "pictures": len(lesson.pixels),
        "torch": torch.__version__.split("+")[0],
        "probe_2d": {name: _shown(score) for name, score in scores.items()},
        "sha256": {
            f"{name}.safetensors": file_digest(folder / f"{name}.safetensors") for name in networks
        },
    }
    write_atomic(folder / "tiny.json", json.dumps(facts, indent=2) + "\n")
    return facts


def _probe_all(
    settings: StandInSettings,
    spec: WorldSpec,
    card: TeacherCard,
    networks: Mapping[str, nn.Module],
) -> dict[str, ProbeScore]:
    """Every network's linear probe on the same cells."""
    known = pictures_of(spec, "train", settings.probe_scenes)
    asked = pictures_of(spec, "val", spec.nuscenes.val_scenes)
    scores = {}
    for name, network in networks.items():
        teacher = Teacher(card, network)
        fitted, tested = (cells_of(teacher, _classes(some)) for some in (known, asked))
        scores[name] = probe(
            fitted, tested, len(NUSCENES_16), n_cells=settings.probe_cells, seed=settings.seed
        )
    return scores


def _classes(pictures: Sequence[Picture]) -> Iterator[tuple[Tensor, Any]]:
    """Pixels and scored class ids of each picture."""
    for picture in pictures:
        yield torch.from_numpy(picture.pixels).permute(2, 0, 1), SCORED_16[picture.label]


def _shown(score: ProbeScore) -> dict[str, Any]:
    per_class = {
        name: None if iou != iou else round(100 * iou, 1)
        for name, iou in zip(NUSCENES_16, score.iou, strict=True)
    }
    return {
        "miou": round(100 * score.miou, 1),
        "accuracy": round(100 * score.accuracy, 1),
        "iou": per_class,
    }


class _timed:
    """Logs what a block did and how many CPU seconds it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        _LOG.info("%s: %.1f CPU s", self.what, time.process_time() - self.start)


def _tell(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
    if done % 100 == 0:
        _LOG.info("step %d of %d, loss %.3f", done, total, (metrics or {}).get("loss", 0.0))


def main(
    folder: Annotated[Path, typer.Option(help="Where the three files go.")] = Path(
        catalogue.__file__
    ).parent,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Make the stand-in teacher and its control, and measure both."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    facts = make(StandInSettings(seed=seed), folder)
    for name, score in facts["probe_2d"].items():
        _LOG.info("%s: mIoU %s, accuracy %s", name, score["miou"], score["accuracy"])


if __name__ == "__main__":
    typer.run(main)

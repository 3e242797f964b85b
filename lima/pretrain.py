"""Teaches a student from images: batches in, ``checkpoint.safetensors`` out.

Offers `Lesson`, `pretrain` and `new_student`. The checkpoint holds the student alone; heads,
teacher and memory are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Source
from lima_bench.lima import ranks
from lima_bench.lima.api import load_method
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.clusters.store import Clusters
from lima_bench.lima.features import CachedTeacher, Grids, ImageTeacher, LiveTeacher
from lima_bench.lima.loop import fit
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.optimise import one_group
from lima_bench.lima.order import Order, Share, make_order, order_of
from lima_bench.lima.recipes import PretrainRecipe, Settings, StudentSettings
from lima_bench.lima.schedule import n_steps
from lima_bench.lima.student import Student
from lima_bench.lima.superpixels import Superpixels
from lima_bench.lima.survey import RollCall, Survey, calm
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.tree import to_device


@dataclass(frozen=True)
class Lesson:
    """What is taught by which method, and from what.

    Attributes:
        method_card: The method.
        method_settings: Its settings, of the card's class.
        student: The network to teach and its input.
        recipe: How training is done.
        source: The frames to learn from.
        grids: Folder of cached teacher features; beside `teacher`, only its mean and std are read.
        teacher: A network that runs inside every step, instead of the cache.
        superpixels: Folder of cached superpixels.
        clusters: Folder of cached 3D clusters.
    """

    method_card: MethodCard
    method_settings: Settings
    student: StudentSettings
    recipe: PretrainRecipe
    source: Source
    grids: Path | None = None
    teacher: Teacher | None = None
    superpixels: Path | None = None
    clusters: Path | None = None


def new_student(settings: StudentSettings, *, bn_momentum: float, seed: int) -> Student:
    """A student with initial weights that depend on seed and backbone alone.

    So every method starts from the same weights, and ``random`` hands out exactly these.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "student", settings.backbone))
        channels = len(settings.inputs.channels)
        return Student(build_backbone(settings.backbone, channels, bn_momentum=bn_momentum))


def pretrain(
    lesson: Lesson,
    *,
    seed: int,
    folder: Path,
    checkpoint: Path,
    report: Report = silent,
    device: str = "cpu",
    workers: int = 0,
    devices: int = 1,
) -> dict[str, float]:
    """Pretrain one student and write its weights.

    Args:
        lesson: What is taught, and from what.
        seed: Of everything random.
        folder: State of an interrupted run, taken up if there; the caller removes it when the
            result is safe.
        checkpoint: The ``.safetensors`` file to write.
        report: Hears of every step.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Loading processes per device.
        devices: Devices of this machine that train together.

    Returns:
        Numbers of the run: ``steps``, ``epochs``, ``parameters`` of the student, and the mean of
        each loss term over the last 5 % of steps as ``final_<term>``; and what the method's
        ``diagnose(batches)``, if it has one, says of the finished network.

    Raises:
        UserError: An input is missing or broken, or the loss is not finite.
    """
    _check(lesson)
    recipe = lesson.recipe
    learner = new_student(lesson.student, bn_momentum=recipe.bn_momentum, seed=seed)
    scores = {"parameters": float(sum(p.numel() for p in learner.parameters()))}
    if not lesson.method_card.learns:
        save_student(checkpoint, learner, _meta(lesson, seed, steps=0))
        return {**scores, "steps": 0.0, "epochs": 0.0}

    def work(report: Report) -> dict[str, float]:
        method = _method(lesson, learner, seed, device)
        batches = _batches(lesson, type(method), seed, device)
        per_epoch = batches.order.steps_per_epoch
        steps = n_steps(recipe.length, per_epoch)
        history = fit(
            method,
            batches,
            recipe,
            groups=one_group(method, recipe.optimiser.lr),
            total_steps=steps,
            steps_per_epoch=per_epoch,
            folder=folder,
            seed=seed,
            report=report,
            observe=_survey(lesson, method, steps, seed=seed, device=device, workers=workers),
            device=device,
            workers=workers,
        )
        said = {}
        if ranks.rank() == 0:
            save_student(checkpoint, learner, _meta(lesson, seed, steps))
            said = _diagnosis(method, batches, range(max(0, steps - per_epoch), steps))
        final = {f"final_{name}": value for name, value in history.tail().items()}
        return {"steps": float(steps), "epochs": steps / per_epoch, **final, **said}

    return {**scores, **ranks.run_on(devices, work, report)}


def _check(lesson: Lesson) -> None:
    """Refuse a method whose inputs are not there, before anything is loaded."""
    needs, where = lesson.method_card.needs, f"method {lesson.method_card.name}"
    if "features" in needs and lesson.grids is None and lesson.teacher is None:
        raise UserError(where, "It needs a teacher's features.", "Give the row a teacher.")
    if "features" in needs and lesson.recipe.images is not None and lesson.teacher is None:
        raise UserError(
            "recipe: images",
            "Images that change from step to step need a teacher that runs in the step.",
            "Give the lesson a teacher instead of cached features, or leave images out.",
        )
    if "superpixels" in needs and lesson.superpixels is None:
        raise UserError(where, "It needs superpixels.", "Build them first: lima-bench prepare.")
    if "clusters" in needs:
        _check_clusters(lesson.clusters, lesson.method_card.clusters, where)
    if not isinstance(lesson.method_settings, lesson.method_card.settings):
        raise UserError(
            where,
            f"Its settings are {type(lesson.method_settings).__name__}.",
            f"Give it {lesson.method_card.settings.__name__}.",
        )


def _check_clusters(folder: Path | None, kind: str, where: str) -> None:
    if folder is None:
        raise UserError(where, "It needs 3D clusters.", "Build them first: lima-bench prepare.")
    found = Clusters(folder).facts["kind"]
    if found != kind:
        raise UserError(folder, f"Here lie {found}.", f"Give {where} a folder of {kind}.")


def _method(lesson: Lesson, learner: Student, seed: int, device: str) -> nn.Module:
    """The method around the student; heads start from the seed alone, so like heads start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "heads"))
        method: nn.Module = load_method(lesson.method_card)(
            lesson.method_settings, _teacher(lesson, device), learner
        )
    return method


def _teacher(lesson: Lesson, device: str) -> ImageTeacher | None:
    if "features" not in lesson.method_card.needs:
        return None
    standardised = lesson.recipe.teacher_features == "standardised"
    cached = None
    if lesson.grids is not None:
        cached = CachedTeacher.of(Grids.open(lesson.grids), standardised=standardised)
    if lesson.teacher is None:
        return cached
    if standardised and cached is None:
        raise UserError(
            "recipe: teacher_features",
            "Standardised features need the mean and deviation of a cached pass.",
            "Build the teacher's features first, or set teacher_features: raw.",
        )
    network = lesson.teacher.to(_own_device(device))
    if cached is None:
        return LiveTeacher(network)
    return LiveTeacher(network, cached.mean, cached.std)


def _own_device(device: str) -> str:
    return f"cuda:{ranks.local_rank()}" if device == "cuda" else device


def _image_inputs(lesson: Lesson) -> ImageInputs:
    wanted = "features" in lesson.method_card.needs
    live = wanted and lesson.teacher is not None
    cached = wanted and not live and lesson.grids is not None
    pooled = "superpixels" in lesson.method_card.needs and lesson.superpixels is not None
    return ImageInputs(
        grids=Grids.open(lesson.grids) if cached and lesson.grids else None,
        pixels=live,
        superpixels=Superpixels.open(lesson.superpixels) if pooled and lesson.superpixels else None,
    )


def _share(lesson: Lesson) -> Share:
    return Share(lesson.recipe.batch_size, ranks.rank(), ranks.world_size())


def _batches(lesson: Lesson, method: type[nn.Module], seed: int, device: str) -> PretrainBatches:
    kind = order_of(method, lesson.method_settings, lesson.method_card.order)
    order = make_order(kind, lesson.source.frames, _share(lesson), derive_seed(seed, "order"))
    return _in_order(lesson, method, order, seed=seed, device=device)


def _in_order(
    lesson: Lesson, method: type[nn.Module], order: Order, *, seed: int, device: str, **options: int
) -> PretrainBatches:
    clustered = "clusters" in lesson.method_card.needs
    return PretrainBatches(
        lesson.source,
        lesson.student,
        lesson.recipe,
        Planner(method, lesson.method_settings),
        _image_inputs(lesson),
        order,
        seed=seed,
        rank=ranks.rank(),
        with_maps=torch.device(device).type == "cpu",
        clusters=Clusters(lesson.clusters) if clustered and lesson.clusters else None,
        **options,
    )


def _survey(
    lesson: Lesson, method: nn.Module, total_steps: int, *, seed: int, device: str, workers: int
) -> Survey | None:
    """The calm passes that the method asks for, over the frames that it learns from."""
    asks: Any = getattr(method, "survey_every", None)
    every: float | None = asks(lesson.method_settings) if asks is not None else None
    if every is None:
        return None
    order = RollCall(len(lesson.source.frames), _share(lesson), lesson.recipe.survey_frames)
    still = replace(lesson, recipe=calm(lesson.recipe))
    seed = derive_seed(seed, "survey")
    batches = _in_order(still, type(method), order, seed=seed, device=device, cache_bytes=0)
    return Survey(method, every, total_steps, batches, order.steps_per_epoch, workers)


def _diagnosis(method: nn.Module, batches: PretrainBatches, steps: range) -> dict[str, float]:
    """What the method says of the network as it is now, shown the batches of the last epoch."""
    own: Any = getattr(method, "diagnose", None)
    if own is None:
        return {}
    device = next(method.parameters()).device
    method.eval()
    with torch.no_grad():
        told: dict[str, float] = own(to_device(batches[step], device) for step in steps)
    return told


def _meta(lesson: Lesson, seed: int, steps: int) -> dict[str, Any]:
    return {
        "backbone": lesson.student.backbone,
        "student": lesson.student.model_dump(mode="json"),
        "method": lesson.method_card.name,
        "seed": seed,
        "steps": steps,
    }

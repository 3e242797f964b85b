"""Teaches a student from images: batches in, ``checkpoint.safetensors`` out.

Offers `Lesson`, `pretrain` and `new_student`. The checkpoint holds the student alone; heads,
teacher and memory are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from lima_bench.lima.features import CachedTeacher, Grids, ImageTeacher, LiveTeacher
from lima_bench.lima.loop import fit
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.optimise import one_group
from lima_bench.lima.order import Share, make_order, order_of
from lima_bench.lima.recipes import PretrainRecipe, Settings, StudentSettings
from lima_bench.lima.schedule import n_steps
from lima_bench.lima.student import Student
from lima_bench.lima.superpixels import Superpixels
from lima_bench.lima.teachers.load import Teacher


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
    """

    method_card: MethodCard
    method_settings: Settings
    student: StudentSettings
    recipe: PretrainRecipe
    source: Source
    grids: Path | None = None
    teacher: Teacher | None = None
    superpixels: Path | None = None


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
        each loss term over the last 5 % of steps as ``final_<term>``.

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
            device=device,
            workers=workers,
        )
        if ranks.rank() == 0:
            save_student(checkpoint, learner, _meta(lesson, seed, steps))
        final = {f"final_{name}": value for name, value in history.tail().items()}
        return {"steps": float(steps), "epochs": steps / per_epoch, **final}

    return {**scores, **ranks.run_on(devices, work, report)}


def _check(lesson: Lesson) -> None:
    """Refuse a method whose inputs are not there, before anything is loaded."""
    needs, where = lesson.method_card.needs, f"method {lesson.method_card.name}"
    if "features" in needs and lesson.grids is None and lesson.teacher is None:
        raise UserError(where, "It needs a teacher's features.", "Give the row a teacher.")
    if "superpixels" in needs and lesson.superpixels is None:
        raise UserError(where, "It needs superpixels.", "Build them first: lima-bench prepare.")
    if not isinstance(lesson.method_settings, lesson.method_card.settings):
        raise UserError(
            where,
            f"Its settings are {type(lesson.method_settings).__name__}.",
            f"Give it {lesson.method_card.settings.__name__}.",
        )


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


def _batches(lesson: Lesson, method: type[nn.Module], seed: int, device: str) -> PretrainBatches:
    share = Share(lesson.recipe.batch_size, ranks.rank(), ranks.world_size())
    kind = order_of(method, lesson.method_settings, lesson.method_card.order)
    order = make_order(kind, lesson.source.frames, share, derive_seed(seed, "order"))
    return PretrainBatches(
        lesson.source,
        lesson.student,
        lesson.recipe,
        Planner(method, lesson.method_settings),
        _image_inputs(lesson),
        order,
        seed=seed,
        rank=share.rank,
        with_maps=torch.device(device).type == "cpu",
    )


def _meta(lesson: Lesson, seed: int, steps: int) -> dict[str, Any]:
    return {
        "backbone": lesson.student.backbone,
        "student": lesson.student.model_dump(mode="json"),
        "method": lesson.method_card.name,
        "seed": seed,
        "steps": steps,
    }

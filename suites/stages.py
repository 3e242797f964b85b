"""What each stage does, in terms of the parts' own functions. Everything heavy is imported inside.

Offers `STAGE_FUNCTIONS` (stage to ``"module:function"``), `PRELOAD` (what workers load once, beside
the modules of all parts), and the functions; each takes a `Context` and returns an `Outcome`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import OfficiallyScored, open_dataset
from lima_bench.suites.sources import data_folder, labelled_source, part_of, source_of
from lima_bench.suites.work import Context, Outcome

if TYPE_CHECKING:
    from lima_bench.lima.recipes import StudentSettings
    from lima_bench.lima.teachers.load import Teacher

_HERE = "lima_bench.suites.stages"
STAGE_FUNCTIONS = {
    "world": f"{_HERE}:render_world",
    "features": f"{_HERE}:cache_features",
    "superpixels": f"{_HERE}:cache_superpixels",
    "clusters": f"{_HERE}:cache_clusters",
    "adopt": f"{_HERE}:adopt",
    "pretrain": f"{_HERE}:pretrain",
    "linear_probe": f"{_HERE}:linear_probe",
    "finetune": f"{_HERE}:finetune",
    "detect": f"{_HERE}:detect",
}

PRELOAD = ("torch", "lima_bench.suites.observe", "lima_bench.suites.stages")

CHECKPOINT = "checkpoint.safetensors"


def render_world(context: Context) -> Outcome:
    """Render the street world as one data set, in its own format."""
    from lima_bench.datasets.world.build import build_world
    from lima_bench.datasets.world.spec import WorldSpec

    dataset = context.job.config["dataset"]
    spec = WorldSpec.model_validate(context.job.config["spec"])
    draft = build_world(
        spec,
        context.state / "world",
        processes=context.processes,
        report=context.report,
        datasets=(dataset,),
    )
    draft.rename(context.artifact)
    return Outcome(details={"world": spec.digest_of(dataset)})


def cache_features(context: Context) -> Outcome:
    """Run the teacher over every image once."""
    from lima_bench.lima.features import build_grids
    from lima_bench.lima.teachers.load import load_teacher

    config = context.job.config
    grids = build_grids(
        load_teacher(config["teacher"]["name"]),
        source_of(context, "pretrain"),
        tuple(config["image_size"]),
        config["antialias"],
        context.artifact,
        context.report,
        context.device,
    )
    return Outcome({"images": float(len(grids.store.array)), "width": float(grids.width)})


def cache_superpixels(context: Context) -> Outcome:
    """Cut every image into superpixels once."""
    from lima_bench.lima.segmenters.catalogue import SEGMENTERS
    from lima_bench.lima.segmenters.load import cutter
    from lima_bench.lima.superpixels import build_segments

    config, path = context.job.config, context.job.runtime.get("path")
    card, size = SEGMENTERS.get(config["segmenter"]), tuple(config["image_size"])
    own = isinstance(card.implementation, str)  # classes of plug-ins do not travel
    found = build_segments(
        source_of(context, "pretrain"),
        size,
        cutter(
            card,
            {**config["settings"], **context.job.runtime},
            size,
            grids=context.artifacts.get("features"),
            files=context.data / path if context.data and path else None,
        ),
        context.artifact,
        context.report,
        processes=context.processes if own else 1,
    )
    facts = ("slots", "segments_per_image", "covered")
    scores = {name: float(found.store.facts[name]) for name in facts}
    details = {"masks": path} if path else {}
    return Outcome({"images": float(len(found.store.array)), **scores}, details)


def cache_clusters(context: Context) -> Outcome:
    """Group the points of every frame once."""
    from lima_bench.lima.clusters.build import build_clusters
    from lima_bench.lima.recipes import ClusterSettings

    config = context.job.config
    found = build_clusters(
        source_of(context, "pretrain"),
        config["kind"],
        ClusterSettings.model_validate(config["settings"]),
        context.artifact,
        context.report,
        processes=context.processes,
    )
    return Outcome({"frames": float(len(found))})


def pretrain(context: Context) -> Outcome:
    """Teach a student; for a method that does not learn, write its first weights."""
    from lima_bench.lima.checkpoint import read_meta, save_student
    from lima_bench.lima.methods.catalogue import METHODS
    from lima_bench.lima.pretrain import Lesson, new_student
    from lima_bench.lima.pretrain import pretrain as teach
    from lima_bench.lima.recipes import PretrainRecipe

    config, seed = context.job.config, context.job.seed or 0
    card, student = METHODS.get(config["method"]), _student(config)
    checkpoint = context.artifact / CHECKPOINT
    context.artifact.mkdir(parents=True)
    if not card.learns:
        meta = {"backbone": student.backbone, "student": config["student"], "seed": seed}
        learner = new_student(student, bn_momentum=0.1, seed=seed)
        save_student(checkpoint, learner, {**meta, "method": card.name, "steps": 0})
        n_parameters = float(sum(p.numel() for p in learner.parameters()))
        scores = {"parameters": n_parameters, "steps": 0.0}
    else:
        recipe = {**config["recipe"], **context.job.runtime}
        lesson = Lesson(
            method_card=card,
            method_settings=card.settings.model_validate(config["settings"]),
            student=student,
            recipe=PretrainRecipe.model_validate(recipe),
            source=source_of(context, "pretrain"),
            grids=context.artifacts.get("features"),
            teacher=_live_teacher(config),
            superpixels=context.artifacts.get("superpixels"),
            clusters=context.artifacts.get("clusters"),
        )
        scores = teach(
            lesson,
            seed=seed,
            folder=context.state,
            checkpoint=checkpoint,
            report=context.report,
            device=context.device,
            workers=context.workers,
        )
    return Outcome(
        scores, {"checkpoint_digest": read_meta(checkpoint)["digest"]}, _engine(context.device)
    )


def _live_teacher(config: Mapping[str, Any]) -> Teacher | None:
    """The teacher itself, where it looks at images that change from step to step."""
    from lima_bench.lima.teachers.load import load_teacher

    live = config["recipe"]["images"] is not None and "teacher" in config
    return load_teacher(config["teacher"]["name"]) if live else None


def adopt(context: Context) -> Outcome:
    """Take the weights of an adopted checkpoint over, once they are those that were planned with.

    Raises:
        UserError: They are gone, or others.
    """
    from lima_bench.lima.checkpoint import read_meta

    source = Path(context.job.runtime["checkpoint"])
    meta = read_meta(source)
    if meta["digest"] != context.job.config["weights"]:
        what = "Another checkpoint was adopted under this name meanwhile."
        raise UserError(source, what, "Run the same command again.")
    context.artifact.mkdir(parents=True)
    shutil.copyfile(source, context.artifact / CHECKPOINT)
    details = {"checkpoint_digest": meta["digest"]}
    return Outcome(details=details | {name: meta[name] for name in ("layout", "source")})


def linear_probe(context: Context) -> Outcome:
    """Train a linear head on the frozen backbone and score it."""
    from lima_bench.downstream import linear_probe as task

    return _ask(context, task.run)


def finetune(context: Context) -> Outcome:
    """Train backbone and head on a label share and score them."""
    from lima_bench.downstream import finetune as task

    return _ask(context, task.run)


def detect(context: Context) -> Outcome:
    """Train a detector on the backbone with a label share, and have the official kit score it."""
    from lima_bench.downstream import detect as task
    from lima_bench.downstream.detection.catalogue import DETECTORS

    config, data = context.job.config, context.job.config["data"]
    source, digest = labelled_source(context)
    reader = open_dataset(data["dataset"])
    assert isinstance(reader, OfficiallyScored)  # a cell on any other data set is a hole
    kind = DETECTORS.get(config["detector"]).recipe
    kit = reader.official(data_folder(context, data["dataset"]), data["splits"]["val"])
    trial = task.Trial(
        context.artifacts["checkpoint"] / CHECKPOINT,
        _student(config),
        kind.model_validate({**config["recipe"], **context.job.runtime}),
        source,
        source_of(context, "val"),
        kit=task.Kit(*kit),
        seed=context.job.seed or 0,
        folder=context.state,
        artifact=context.artifact,
        device=context.device,
        workers=context.workers,
    )
    result = task.run(trial, report=context.report)
    details = {**result.details, "label_share": digest}
    return Outcome(result.scores, details, _engine(context.device))


def _ask(context: Context, run: Any) -> Outcome:
    from lima_bench.downstream.recipes import DownstreamRecipe

    config = context.job.config
    source, digest = labelled_source(context)
    result = run(
        context.artifacts["checkpoint"] / CHECKPOINT,
        _student(config),
        DownstreamRecipe.model_validate({**config["recipe"], **context.job.runtime}),
        source,
        source_of(context, "val"),
        corrupted=part_of(context, copies, "val") if (copies := config.get("corrupted")) else None,
        seed=context.job.seed or 0,
        folder=context.state,
        report=context.report,
        device=context.device,
        workers=context.workers,
    )
    details = {**result.details, "label_share": digest}
    return Outcome(result.scores, details, _engine(context.device))


def _student(config: Any) -> StudentSettings:
    from lima_bench.lima.recipes import StudentSettings

    return StudentSettings.model_validate(config["student"])


def _engine(device: str) -> dict[str, str]:
    """Which sparse engine computed: recorded, because engines may differ in the last bits."""
    import torch

    from lima_bench.lima.backbones.sparse.engine import name_on

    return {"engine": name_on(torch.device(device))}

"""How much a backbone helps to find boxes: it is trained as the encoder of a detector.

Offers `run` and `Kit`. Encoder, 2D network and head learn together from a label share; boxes that
are found on validation are scored by our metric and by the data set's official kit, which must
agree (detection 5.4, 6, 7).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import digest
from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.nuscenes.truth import SceneTruth, read_truth
from lima_bench.datasets.sample import Source
from lima_bench.downstream.detection.balance import balanced
from lima_bench.downstream.detection.batches import TrainBatches
from lima_bench.downstream.detection.boxes import GlobalBoxes
from lima_bench.downstream.detection.detector import Detector, load_detector
from lima_bench.downstream.detection.find import find
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.downstream.evaluations import Evaluations
from lima_bench.downstream.scores.devkit import agree, official_scores, write_results
from lima_bench.downstream.scores.nuscenes_detection import detection_scores
from lima_bench.downstream.scores.result import Scores
from lima_bench.lima import ranks
from lima_bench.lima.checkpoint import read_meta, weights_digest
from lima_bench.lima.loop import fit
from lima_bench.lima.optimise import Group
from lima_bench.lima.order import Share, Shuffled
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.schedule import n_steps

RESULTS = "results_nusc.json"
"""What the job leaves: the boxes that were scored, in the official kit's format."""


@dataclass(frozen=True)
class Kit:
    """Where the official kit finds the truth of the validation frames.

    Attributes:
        tables: The version folder.
        split: The kit's name of the frames.
    """

    tables: Path
    split: str


@dataclass(frozen=True)
class Hunt:
    """One detection run; see `run` for what its parts are."""

    checkpoint: Path
    student: StudentSettings
    recipe: DetectRecipe
    train: Source
    val: Source
    kit: Kit
    seed: int
    folder: Path
    artifact: Path
    device: str
    workers: int

    @cached_property
    def facts(self) -> DetectionFacts:
        """What counts as a detection.

        Raises:
            UserError: The card does not say.
        """
        if self.train.card.detection is None:
            raise UserError(
                f"{self.train.card.name} card: detection",
                "It says nothing of boxes, so there is nothing to detect.",
                "Ask for detection on nuScenes, or add the entry to the card.",
            )
        return self.train.card.detection

    @cached_property
    def truth(self) -> SceneTruth:
        """The annotated boxes of the validation frames."""
        return read_truth(self.kit.tables, self.val.frames, self.facts)


def run(
    checkpoint: Path,
    student: StudentSettings,
    recipe: DetectRecipe,
    train: Source,
    val: Source,
    *,
    kit: Kit,
    seed: int,
    folder: Path,
    artifact: Path,
    report: Report = silent,
    device: str = "cpu",
    workers: int = 0,
    devices: int = 1,
) -> Scores:
    """Train a detector on a label share and score the boxes that it finds.

    Args:
        checkpoint: The pretrained encoder; that of ``random`` makes the baseline.
        student: The network in it, and its input.
        recipe: Which detector, and how it is trained.
        train: The label share; objects that are pasted come from it alone.
        val: The validation frames, all of a split that the official kit knows.
        kit: Where that kit finds the truth.
        seed: Of first weights, order, augmentation and pasting.
        folder: State of an interrupted run, taken up if there; the caller removes it when the
            result is safe.
        artifact: Gets the scored boxes, ``results_nusc.json``; made here.
        report: Hears of every step.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Loading processes per device.
        devices: Devices of this machine that train together.

    Raises:
        UserError: An input is missing or broken, the label share holds no box, the loss is not
            finite, or the two metrics do not agree.
    """
    hunt = Hunt(
        checkpoint, student, recipe, train, val, kit, seed, folder, artifact, device, workers
    )
    return ranks.run_on(devices, lambda report: _train_and_score(hunt, report), report)


def _train_and_score(hunt: Hunt, report: Report) -> Scores:
    recipe = hunt.recipe
    detector = load_detector(
        hunt.checkpoint, hunt.student, recipe, hunt.facts, seed=hunt.seed
    )
    share = Share(recipe.batch_size, ranks.rank(), ranks.world_size())
    drawn = balanced(hunt.train, hunt.facts, seed=hunt.seed) if recipe.balanced else None
    frames = hunt.train.frames if drawn is None else [hunt.train.frames[i] for i in drawn.frames]
    order = Shuffled(len(frames), share, derive_seed(hunt.seed, "order"))
    batches = TrainBatches(
        replace(hunt.train, frames=frames),
        hunt.student,
        recipe,
        order,
        seed=hunt.seed,
        rank=share.rank,
        with_maps=torch.device(hunt.device).type == "cpu",
    )
    steps = n_steps(recipe.length, order.steps_per_epoch)
    evaluations = Evaluations(
        steps=steps,
        parts=recipe.evaluations,
        report=recipe.report,
        metric="map",
        folder=hunt.folder,
        score=lambda step, counts: _score(hunt, detector, step, counts=counts),
    )
    history = fit(
        detector,
        batches,
        recipe,
        groups=_groups(detector, recipe),
        total_steps=steps,
        steps_per_epoch=order.steps_per_epoch,
        folder=hunt.folder,
        seed=hunt.seed,
        report=report,
        observe=evaluations.observe,
        device=hunt.device,
        workers=hunt.workers,
    )
    step, scores = evaluations.reported()
    _confirm(hunt, step, scores)
    details = {
        **scores.details,
        "reported_step": step,
        "steps": steps,
        "evaluations": evaluations.course(),
        "final_terms": history.tail(),
        "train_frames": len(hunt.train.frames),
        "drawn_frames": len(frames),
        "val_frames": len(hunt.val.frames),
        "label_share_digest": digest([frame.id for frame in hunt.train.frames]),
        "checkpoint_digest": read_meta(hunt.checkpoint)["digest"],
        "weights_digest": weights_digest(detector.state_dict()),
    }
    return Scores(scores.scores, details)


def _groups(detector: Detector, recipe: DetectRecipe) -> Sequence[Group]:
    lr = recipe.optimiser.lr
    fresh = [*detector.bev.parameters(), *detector.get_submodule("head").parameters()]
    return (
        Group("encoder", tuple(detector.encoder.parameters()), lr),
        Group("head", tuple(fresh), lr if recipe.head_lr is None else recipe.head_lr),
    )


def _score(hunt: Hunt, detector: Detector, step: int, *, counts: bool) -> Scores:
    """Our metric on what the detector finds; the boxes are kept where they may be asked for."""
    found = find(detector, hunt.val, hunt.student, hunt.recipe, workers=hunt.workers)
    boxes: GlobalBoxes = place([one for one, _ in found], [pose for _, pose in found], hunt.facts)
    if counts and ranks.rank() == 0:
        tokens = [frame.alias for frame in hunt.val.frames]
        write_results(_results(hunt, step), tokens, boxes, hunt.facts)
    return detection_scores(hunt.truth, boxes, hunt.facts)


def _confirm(hunt: Hunt, step: int, ours: Scores) -> None:
    """Have the official kit score the same boxes, and keep them beside the result.

    Raises:
        UserError: The kit refuses them, or its numbers are not ours.
    """
    if ranks.rank() != 0:
        return
    results = _results(hunt, step)
    official = official_scores(
        hunt.kit.tables, hunt.kit.split, results, hunt.folder / "official", hunt.facts
    )
    agree(ours, official)
    hunt.artifact.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(results, hunt.artifact / RESULTS)


def _results(hunt: Hunt, step: int) -> Path:
    return hunt.folder / f"results.{step}.json"

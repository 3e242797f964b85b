"""How much a backbone helps to find boxes: it is trained as the encoder of a detector.

Offers `run`, `Trial` and `Kit`. Encoder, 2D network and head learn together from a label share.
What is found on validation is scored by our metric and by the official kit, which must agree
(detection 5.4, 6, 7).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.global_boxes import DetectionTruth
from lima_bench.datasets.nuscenes.truth import read_truth
from lima_bench.datasets.sample import Source
from lima_bench.downstream.detection.data.balance import epoch_of
from lima_bench.downstream.detection.data.batches import TrainBatches
from lima_bench.downstream.detection.data.database import ObjectDatabase
from lima_bench.downstream.detection.data.frames import LoadedFrames
from lima_bench.downstream.detection.data.objects import facts_of
from lima_bench.downstream.detection.data.sweeps import check_sweeps
from lima_bench.downstream.detection.detector import Detector, load_detector
from lima_bench.downstream.detection.find import find
from lima_bench.downstream.detection.place import place
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.downstream.scored_run import fit_and_score
from lima_bench.downstream.scores.detection_result import detection_result
from lima_bench.downstream.scores.devkit import RESULTS, check_split, judged
from lima_bench.downstream.scores.nuscenes_detection import detection_scores
from lima_bench.downstream.scores.result import Scores
from lima_bench.lima import ranks
from lima_bench.lima.optimise import Group
from lima_bench.lima.order import Share, Shuffled
from lima_bench.lima.recipes import StudentSettings


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
class Trial:
    """One detection run.

    Attributes:
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
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Loading processes per device.
    """

    checkpoint: Path
    student: StudentSettings
    recipe: DetectRecipe
    train: Source
    val: Source
    kit: Kit
    seed: int
    folder: Path
    artifact: Path
    device: str = "cpu"
    workers: int = 0

    @cached_property
    def facts(self) -> DetectionFacts:
        """What counts as a detection.

        Raises:
            UserError: The card does not say.
        """
        return facts_of(self.train.card)

    @cached_property
    def truth(self) -> DetectionTruth:
        """The annotated boxes of the validation frames."""
        return read_truth(self.kit.tables, self.val.frames, self.facts)

    def scored(self, step: int) -> Path:
        """Where boxes that may count, found after `step`, lie with what the official kit says."""
        return self.folder / f"scored.{step}"


def run(trial: Trial, *, report: Report = silent, devices: int = 1) -> Scores:
    """Train a detector on a label share and score the boxes that it finds.

    Args:
        trial: What is asked.
        report: Hears of every step.
        devices: Devices of this machine that train together.

    Raises:
        UserError: An input is missing or broken, the label share holds no box, or the loss is not
            finite.
        MetricsDisagree: The official kit and our metric say different numbers.
    """
    return ranks.run_on(devices, lambda report: _train_and_score(trial, report), report)


def _train_and_score(trial: Trial, report: Report) -> Scores:
    recipe = trial.recipe
    _check(trial)
    detector = load_detector(trial.checkpoint, trial.student, recipe, trial.facts, seed=trial.seed)
    share = Share(recipe.batch_size, ranks.rank(), ranks.world_size())
    loaded = LoadedFrames(trial.train, trial.student, recipe)
    epoch = epoch_of(loaded, seed=trial.seed)
    order = Shuffled(len(epoch.numbers), share, derive_seed(trial.seed, "order"))
    batches = TrainBatches(
        epoch.of(trial.train),
        trial.student,
        recipe,
        order,
        seed=trial.seed,
        rank=share.rank,
        with_maps=torch.device(trial.device).type == "cpu",
        loaded=loaded,
        database=_database(trial, loaded),
    )
    scores = fit_and_score(
        trial,
        detector,
        detector,
        batches,
        order,
        _groups(detector, recipe),
        metric="map",
        score=lambda step, counts: _score(trial, detector, step, counts=counts),
        report=report,
    )
    _keep(trial, scores.details["reported_step"])
    drawn = {"epoch_frames": len(epoch.numbers), "absent_classes": list(epoch.absent)}
    return replace(scores, details={**scores.details, **drawn})


def _check(trial: Trial) -> None:
    """Look at what training and the score need before hours are spent, not after them.

    Raises:
        UserError: The official kit does not take these frames, they hold nothing to find, or sweeps
            are missing.
    """
    frames = [frame.alias for frame in trial.val.frames]
    # The truth is kept for scoring. Further ranks may never need it.
    samples = trial.truth.samples if ranks.rank() == 0 else frames
    check_split(trial.kit.tables, trial.kit.split, samples)
    for source in (trial.train, trial.val) if ranks.rank() == 0 else ():
        check_sweeps(source, trial.recipe)


def _database(trial: Trial, loaded: LoadedFrames) -> ObjectDatabase | None:
    """What is pasted, if the recipe pastes; read by all loading processes."""
    sampling = trial.recipe.sampling
    return ObjectDatabase.of(loaded, sampling, workers=trial.workers) if sampling else None


def _groups(detector: Detector, recipe: DetectRecipe) -> Sequence[Group]:
    lr = recipe.optimiser.lr
    fresh = [*detector.bev.parameters(), *detector.get_submodule("head").parameters()]
    return (
        Group("encoder", tuple(detector.encoder.parameters()), lr),
        Group("head", tuple(fresh), lr if recipe.head_lr is None else recipe.head_lr),
    )


def _score(trial: Trial, detector: Detector, step: int, *, counts: bool) -> Scores:
    """What the detector finds, by our metric; where the score may count, by the official kit too.

    The kit runs on the first rank alone, and all ranks take its numbers.
    """
    found = find(detector, trial.val, trial.student, trial.recipe, workers=trial.workers)
    boxes = place([one for one, _ in found], [pose for _, pose in found], trial.facts)
    if not counts:
        return detection_result(detection_scores(trial.truth, boxes, trial.facts))
    scores = None
    if ranks.rank() == 0:
        folder = trial.scored(step)
        scores = judged(trial.kit.tables, trial.kit.split, trial.truth, boxes, folder, trial.facts)
    official = ranks.from_all(scores)[0]
    assert official is not None  # the first rank has it
    return official


def _keep(trial: Trial, step: int) -> None:
    """Leave the boxes of the score that counts beside it."""
    if ranks.rank() == 0:
        trial.artifact.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trial.scored(step) / RESULTS, trial.artifact / RESULTS)

"""Scores a segmenter on every point of the validation frames, one pass, nothing augmented.

Offers `evaluate`. A voxel's class goes to all its points, and points are counted, never voxels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Int64, Source
from lima_bench.downstream.data import ScoreBatch, ScoreBatches
from lima_bench.downstream.scores.miou import ConfusionMatrix
from lima_bench.downstream.scores.result import WHOLE, Scores, summarise
from lima_bench.downstream.segment import Segmenter
from lima_bench.downstream.splits import SPLITS
from lima_bench.lima import ranks
from lima_bench.lima.loading import batches_from
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.tree import to_device

_RAW_IDS = 1 << 16


def evaluate(
    segmenter: Segmenter,
    source: Source,
    student: StudentSettings,
    *,
    batch_size: int,
    workers: int = 0,
) -> Scores:
    """Score `segmenter` on `source`; every rank takes its share and all get the same result.

    Args:
        segmenter: On any device; its mode is restored.
        source: Validation frames, all annotated.
        student: Grid and input channels.
        batch_size: Frames at a time.
        workers: Loading processes.

    Raises:
        UserError: A frame has no labels, or no frame has a point to score.
    """
    card = source.card
    names = (WHOLE, *SPLITS, *card.conditions)
    matrices = {name: ConfusionMatrix(len(card.classes)) for name in names}
    unknown: Int64 = np.zeros(_RAW_IDS, dtype=np.int64)
    on_cpu = _device_of(segmenter).type == "cpu"
    batches = ScoreBatches(source, student, batch_size, with_maps=on_cpu)
    own = range(ranks.rank(), len(batches), ranks.world_size())
    with _scoring(segmenter):
        for batch in batches_from(batches, own, workers):
            _count(matrices, batch, _predict(segmenter, batch))
            for raw, n_points in batch.unknown_labels.items():
                unknown[raw] += n_points
    counts = ranks.sum_over_ranks(np.stack([matrices[name].counts for name in names]))
    unknown = ranks.sum_over_ranks(unknown)
    summed = {name: ConfusionMatrix(len(card.classes), counts[n]) for n, name in enumerate(names)}
    if not summed[WHOLE].n_points:
        raise UserError(
            f"{card.name}: validation",
            "No frame has a point with a label.",
            "Check the split and the label map of the card.",
        )
    scores = summarise(summed, card.class_names, card.metric)
    strange = {str(raw): int(unknown[raw]) for raw in np.flatnonzero(unknown)}
    return Scores(scores.scores, {**scores.details, "unknown_labels": strange})


def _device_of(segmenter: Segmenter) -> torch.device:
    return next(segmenter.parameters()).device


def _predict(segmenter: Segmenter, batch: ScoreBatch) -> Int64:
    """A class for every point."""
    voxels = to_device(batch.voxels, _device_of(segmenter))
    scores, readout = segmenter(voxels), segmenter.backbone.readout(voxels)
    rows = torch.arange(len(voxels.inverse), device=voxels.inverse.device)
    cell = readout.one_cell(rows)
    best = (readout.read(scores, rows) if cell is None else scores).argmax(dim=1)
    prediction: Int64 = (best if cell is None else best[cell]).cpu().numpy()
    return prediction


def _count(matrices: dict[str, ConfusionMatrix], batch: ScoreBatch, prediction: Int64) -> None:
    matrices[WHOLE].add(batch.labels, prediction)
    for name, mask in batch.masks.items():
        matrices[name].add(batch.labels[mask], prediction[mask])


@contextlib.contextmanager
def _scoring(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode of before comes back."""
    training: Any = module.training
    module.eval()
    try:
        # Not inference mode: an engine may keep buffers that training then could not write to.
        with torch.no_grad():
            yield
    finally:
        module.train(training)

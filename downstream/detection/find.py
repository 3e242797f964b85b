"""Boxes on validation frames: every frame once, nothing augmented, dealt out over ranks.

Offers `find`.
"""

from __future__ import annotations

import torch

from lima_bench.datasets.sample import Float64, Source
from lima_bench.downstream.detection.boxes import Detections
from lima_bench.downstream.detection.data.batches import ScoreBatches
from lima_bench.downstream.detection.detector import Detector
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima import ranks
from lima_bench.lima.loading import batches_from
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.tree import to_device

Found = tuple[Detections, Float64]
"""The boxes of a frame, and its LiDAR frame's place in the global one, 4x4."""


def find(
    detector: Detector,
    source: Source,
    student: StudentSettings,
    recipe: DetectRecipe,
    *,
    workers: int = 0,
) -> list[Found]:
    """What `detector` finds in every frame of `source`, in their order; the same on every rank.

    Args:
        detector: On any device; its mode is restored.
        source: Validation frames.
        student: Grid and input channels of the pretrained encoder.
        recipe: What was changed about them, and how many frames at a time.
        workers: Loading processes.

    Raises:
        UserError: A frame has no pose, or its scans cannot be read.
    """
    device = next(detector.parameters()).device
    batches = ScoreBatches(
        source, student, recipe, recipe.batch_size, with_maps=device.type == "cpu"
    )
    own = range(ranks.rank(), len(batches), ranks.world_size())
    found: dict[int, Found] = {}
    training = detector.training
    detector.eval()
    try:
        for batch in batches_from(batches, own, workers):
            boxes = detector.found(to_device(batch.batch.voxels, device))
            for number, pose, one in zip(batch.frames, batch.lidar_to_global, boxes, strict=True):
                found[number] = (_on_cpu(one), pose)
    finally:
        detector.train(training)
    merged = {number: one for part in ranks.from_all(found) for number, one in part.items()}
    return [merged[number] for number in range(len(source.frames))]


def _on_cpu(found: Detections) -> Detections:
    return to_device(found, torch.device("cpu"))

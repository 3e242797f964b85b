"""What of a sample a detector learns: annotated boxes -> `Objects`.

Offers `objects_of` and `facts_of`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.sample import Float64, Sample
from lima_bench.downstream.detection.boxes import Objects


def facts_of(card: Card) -> DetectionFacts:
    """What the card says of boxes.

    Raises:
        UserError: It says nothing, so that nobody knows what a detector should find.
    """
    if card.detection is None:
        raise UserError(
            f"{card.name} card: detection",
            "The card does not say which classes of boxes there are.",
            "Detect on nuScenes, or add the entry `detection` to the card as that of nuScenes.",
        )
    return card.detection


def objects_of(sample: Sample, facts: DetectionFacts) -> Objects:
    """The annotated objects of a frame that are of a class and that any sensor has hit.

    A box without a LiDAR and a RADAR point is left out, in training as in the official metric
    (`valid_flag`, detection 3.6). Velocities that are unknown stay NaN; a place, size or heading
    that is none is refused here, since elsewhere it would lie in no grid and be lost in silence.

    Args:
        sample: With boxes.
        facts: Which categories are classes.

    Raises:
        UserError: The frame is not annotated with boxes at all, or a box has a number that is none.
    """
    boxes = sample.boxes
    if boxes is None:
        raise UserError(
            f"frame {sample.frame.id}",
            "It has no boxes: nobody annotated any.",
            "Choose a split or label share whose frames are all annotated.",
        )
    label = np.array([facts.label_of.get(name, -1) for name in boxes.category], dtype=np.int64)
    kept = np.flatnonzero((label >= 0) & (boxes.n_points + boxes.n_radar > 0))
    columns = np.column_stack([boxes.centre, boxes.size, boxes.yaw, boxes.velocity])
    _refuse_broken(sample, columns[kept])
    return Objects(columns[kept].astype(np.float32), label[kept])


def _refuse_broken(sample: Sample, columns: Float64) -> None:
    """Refuse boxes (B, 9) that lie nowhere."""
    broken = np.flatnonzero(~np.isfinite(columns[:, :7]).all(axis=1))
    if broken.size:
        numbers = ", ".join(f"{number:g}" for number in columns[broken[0]].tolist())
        raise UserError(
            f"frame {sample.frame.id}",
            f"{broken.size} of its boxes have numbers that are none, the first one: {numbers}.",
            "Mend the annotations, or remove them; velocities may be NaN where they are unknown.",
        )

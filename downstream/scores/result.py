"""What a downstream run hands over: `Scores`, made from confusion matrices by `summarise`. Pure.

Numbers are in percent, as tables print them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lima_bench.downstream.scores.miou import VARIANTS, ConfusionMatrix, mean_iou

WHOLE = "all"
"""The matrix over every scored point; the others are over the points of one split."""


@dataclass(frozen=True)
class Scores:
    """Result of one downstream run.

    Attributes:
        scores: Flat numbers: ``miou``, ``miou_seen``, ``miou_0_20m``, ``accuracy`` ... in percent,
            and ``classes_present``. A split that no point belongs to has no entry.
        details: Everything else a record keeps, as JSON: IoU per class, confusion counts, numbers
            of points, unknown raw ids, digests.
    """

    scores: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


def summarise(
    matrices: Mapping[str, ConfusionMatrix], class_names: Sequence[str], variant: str = "strict"
) -> Scores:
    """Scores of one evaluation.

    Args:
        matrices: By split; `WHOLE` must be there and hold points.
        class_names: By train id.
        variant: Rule of the data set's authors. The main score always leaves absent classes out;
            where the rule differs, ``miou_<variant>`` stands beside it, unless it gives no number.
    """
    filled = {name: matrix for name, matrix in matrices.items() if matrix.n_points}
    whole = filled[WHOLE]
    scores = {
        "miou" if name == WHOLE else f"miou_{name}": mean_iou(m) for name, m in filled.items()
    }
    official = mean_iou(whole, variant)
    if not VARIANTS[variant].is_strict and not np.isnan(official):
        scores[f"miou_{variant}"] = official
    scores |= {"accuracy": whole.accuracy(), "fwiou": whole.frequency_weighted_iou()}
    percent = {name: 100 * value for name, value in scores.items()}
    percent["classes_present"] = float(np.isfinite(whole.iou()).sum())
    return Scores(
        percent,
        {
            "metric": "strict",
            "iou": {name: _per_class(matrix, class_names) for name, matrix in filled.items()},
            "confusion": {name: matrix.counts.tolist() for name, matrix in filled.items()},
            "n_points": {name: matrix.n_points for name, matrix in filled.items()},
        },
    )


def _per_class(matrix: ConfusionMatrix, class_names: Sequence[str]) -> dict[str, float | None]:
    """Percent by class; None where the class is absent, since JSON has no NaN."""
    pairs = zip(class_names, matrix.iou(), strict=True)
    return {name: None if np.isnan(iou) else 100 * float(iou) for name, iou in pairs}

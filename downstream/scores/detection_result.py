"""The numbers of a detection metric, whoever computed them, and what a run hands over. Pure.

Offers `DetectionScores`, `agree`, `MetricsDisagree` and `detection_result`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lima_bench.downstream.scores.result import Scores

ERRORS = ("trans", "scale", "orient", "vel", "attr")
"""True-positive errors: metres, 1 - aligned IoU, radians, metres per second, 1 - accuracy."""

TOLERANCE = 1e-6
"""Largest difference between our numbers and the official kit's; both are of order 1."""


class MetricsDisagree(RuntimeError):
    """Two computations of the same metric gave different numbers: one of them is wrong."""


@dataclass(frozen=True)
class DetectionScores:
    """What a detection metric says, as fractions and in the units of the errors.

    Attributes:
        mean_ap: Over classes and distances.
        nds: nuScenes detection score.
        errors: By name of `ERRORS`, over the classes that have it.
        ap: By class, by distance in metres as text (``"0.5"``).
        class_errors: By class, by name of `ERRORS`; NaN where the class has none.
        n_true: Objects that count, by class; empty where nobody counted.
        n_found: Predictions that count, by class; likewise.
        note: What a reader of these numbers has to know; mostly empty.
    """

    mean_ap: float
    nds: float
    errors: Mapping[str, float]
    ap: Mapping[str, Mapping[str, float]]
    class_errors: Mapping[str, Mapping[str, float]]
    n_true: Mapping[str, int] = field(default_factory=dict)
    n_found: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def class_ap(self) -> dict[str, float]:
        """Mean over distances by class."""
        return {name: float(np.mean(list(values.values()))) for name, values in self.ap.items()}


def agree(ours: DetectionScores, official: DetectionScores, tolerance: float = TOLERANCE) -> None:
    """Check that both say the same, number by number.

    Raises:
        MetricsDisagree: Names every number that differs by more than `tolerance`, that only one
            of them has, or that is a number for one of them only.
    """
    one, other = _numbers(ours), _numbers(official)
    wrong = [
        f"{name}: ours {one.get(name)}, official {other.get(name)}"
        for name in sorted(one.keys() | other.keys())
        if not np.isclose(
            one.get(name, np.inf), other.get(name, -np.inf), 0.0, tolerance, equal_nan=True
        )
    ]
    if wrong:
        raise MetricsDisagree(
            "The official detection metric and ours differ, so neither can be trusted:\n  "
            + "\n  ".join(wrong)
        )


def detection_result(scores: DetectionScores, counted: DetectionScores | None = None) -> Scores:
    """The result of a detection run: ``map`` and ``nds`` in percent, errors in their units.

    Args:
        scores: The numbers to report.
        counted: Whose `n_true` and `n_found` to tell, if not those of `scores`.
    """
    counted = counted or scores
    errors = {f"ma{name[0]}e": value for name, value in scores.errors.items()}
    present = float(sum(n > 0 for n in counted.n_true.values()))
    return Scores(
        {
            "map": 100 * scores.mean_ap,
            "nds": 100 * scores.nds,
            **errors,
            "classes_present": present,
        },
        {
            "ap": {name: 100 * value for name, value in scores.class_ap().items()},
            "ap_by_distance_m": {
                name: {distance: 100 * value for distance, value in values.items()}
                for name, values in scores.ap.items()
            },
            "errors": {
                name: {error: None if np.isnan(v) else v for error, v in values.items()}
                for name, values in scores.class_errors.items()
            },
            "n_true": dict(counted.n_true),
            "n_found": dict(counted.n_found),
            "note": scores.note,
        },
    )


def _numbers(scores: DetectionScores) -> dict[str, float]:
    """Every number that two computations must share, by a name for messages."""
    numbers = {"mAP": scores.mean_ap, "NDS": scores.nds}
    numbers |= {f"mean {name} error": value for name, value in scores.errors.items()}
    for name, values in scores.ap.items():
        numbers |= {f"AP of {name} at {distance} m": ap for distance, ap in values.items()}
    for name, values in scores.class_errors.items():
        numbers |= {f"{error} error of {name}": value for error, value in values.items()}
    return numbers

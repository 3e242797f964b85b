"""mAP, NDS and true-positive errors of nuScenes, from arrays. Pure NumPy.

Offers `detection_scores`, `DISTANCES_M` and `ERROR_DISTANCE_M`. The rules are those of
nutonomy/nuscenes-devkit 1.2.0, eval/detection/algo.py and eval/common/{loaders,utils}.py, with
configs/detection_cvpr_2019.json; every result equals the kit's, tens of times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lima_bench.datasets.detection_facts import BoxClass, DetectionFacts
from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.rigid import rotation
from lima_bench.datasets.sample import Bool, Float64, Int64
from lima_bench.downstream.scores.detection_result import ERRORS, DetectionScores
from lima_bench.downstream.scores.matching import Pairs, matched, near_pairs

DISTANCES_M = (0.5, 1.0, 2.0, 4.0)
"""A prediction is right if its centre is less than this off; AP is the mean over them."""

ERROR_DISTANCE_M = 2.0
"""The one of them at which errors are measured."""

RECALLS = np.linspace(0, 1, 101)
FIRST = 11
"""Of `RECALLS`: those up to 0.1 do not count."""

LEAST_PRECISION = 0.1
AP_WEIGHT = 5
"""Of mAP in NDS, beside one for each error."""


@dataclass(frozen=True)
class _Case:
    """Boxes that count, best prediction first; one group is one class in one frame.

    Attributes:
        found: Predictions.
        true: Objects.
        pairs: What of both is near.
    """

    found: GlobalBoxes
    true: GlobalBoxes
    pairs: Pairs

    def taken(self, distance_m: float) -> Int64:
        """The object (P,) of each prediction, -1 for none."""
        rank = np.arange(len(self.found.frame))
        return matched(self.pairs, rank, len(self.true.frame), distance_m)


@dataclass(frozen=True)
class _Class:
    """One class at one distance.

    Attributes:
        n_true: Objects.
        score: (P,) of predictions, falling.
        hit: (P,) whether each found an object.
    """

    n_true: int
    score: Float64
    hit: Bool

    @property
    def nothing(self) -> bool:
        """Whether no object was found."""
        return not self.hit.any()

    @cached_property
    def curves(self) -> tuple[Float64, Float64]:
        """Precision and score (101,) at `RECALLS`; 0 beyond the highest recall reached."""
        hits = np.cumsum(self.hit).astype(np.float64)
        precision = hits / (np.cumsum(~self.hit) + hits)
        recall = hits / self.n_true
        return (
            np.interp(RECALLS, recall, precision, right=0),
            np.interp(RECALLS, recall, self.score, right=0),
        )

    def ap(self) -> float:
        """Area under the precision, above `LEAST_PRECISION` and beyond the first recalls."""
        if self.nothing:
            return 0.0
        precision, _ = self.curves
        above = np.maximum(precision[FIRST:] - LEAST_PRECISION, 0)
        return float(np.mean(above)) / (1 - LEAST_PRECISION)

    def error(self, values: Float64) -> float:
        """Mean over recalls of the running mean of `values`, one for each hit.

        1 where recall does not reach beyond the first ones. Running means are read at the scores
        that the recalls have, as the kit does.
        """
        if self.nothing:
            return 1.0
        _, score = self.curves
        reached = np.flatnonzero(score)
        last = int(reached[-1]) if reached.size else 0
        if last < FIRST:
            return 1.0
        running = cumulative_mean(values)
        curve = np.interp(score[::-1], self.score[self.hit][::-1], running[::-1])[::-1]
        return float(np.mean(curve[FIRST : last + 1]))


def detection_scores(
    truth: DetectionTruth, found: GlobalBoxes, facts: DetectionFacts
) -> DetectionScores:
    """The nuScenes detection metric of predictions.

    A class without objects has AP 0 and errors 1, as in the official kit; so has everything if
    nothing was predicted.

    Args:
        truth: Of the scored frames, unfiltered.
        found: Predictions in these frames; finite but for velocities, sizes positive.
        facts: The classes and how they count.

    Raises:
        ValueError: A frame has more predictions than the metric takes.
    """
    per_frame = np.bincount(found.frame, minlength=1)
    if per_frame.max() > facts.most_boxes:
        raise ValueError(f"{per_frame.max()} boxes in a frame, {facts.most_boxes} at most")
    case = _case(truth, found, facts)
    classes = {distance: _classes(case, distance, facts) for distance in DISTANCES_M}
    ap = {
        name: {f"{distance}": classes[distance][label].ap() for distance in DISTANCES_M}
        for label, name in enumerate(facts.names)
    }
    errors = _class_errors(case, classes[ERROR_DISTANCE_M], facts)
    mean_errors = {
        name: float(np.nanmean([values[name] for values in errors.values()])) for name in ERRORS
    }
    mean_ap = float(np.mean([np.mean(list(values.values())) for values in ap.values()]))
    kept = sum(max(0.0, 1.0 - error) for error in mean_errors.values())
    return DetectionScores(
        mean_ap=mean_ap,
        nds=(AP_WEIGHT * mean_ap + kept) / (AP_WEIGHT + len(ERRORS)),
        errors=mean_errors,
        ap=ap,
        class_errors=errors,
        n_true=_counts(case.true, facts),
        n_found=_counts(case.found, facts),
    )


def cumulative_mean(values: Float64) -> Float64:
    """Mean of the values (N,) up to each place, NaNs left out; ones if there are only NaNs.

    Places before the first number are 0, as in the devkit.
    """
    known: Bool = ~np.isnan(values)
    if not known.any():
        return np.ones(len(values))
    count, total = np.cumsum(known), np.nancumsum(values)
    means: Float64 = np.divide(total, count, out=np.zeros_like(total), where=count != 0)
    return means


def _case(truth: DetectionTruth, found: GlobalBoxes, facts: DetectionFacts) -> _Case:
    """What counts, sorted, and paired."""
    rows = _counting(found, truth, facts)
    # Of equal scores the later one comes first: the kit sorts upwards and then reverses.
    upwards = np.lexsort((rows, truth.turn[found.frame[rows]], found.score[rows]))
    found = found.only(rows[upwards[::-1]])
    true = truth.boxes.only(_counting(truth.boxes, truth, facts))
    n_classes = len(facts.classes)
    pairs = near_pairs(
        found.frame * n_classes + found.label,
        found.centre[:, :2],
        true.frame * n_classes + true.label,
        true.centre[:, :2],
        max(DISTANCES_M),
    )
    return _Case(found, true, pairs)


def _counting(boxes: GlobalBoxes, truth: DetectionTruth, facts: DetectionFacts) -> Int64:
    """Rows of boxes in the range of their class, with points, and not in a rack."""
    range_m = np.array([one.range_m for one in facts.classes])
    step = boxes.centre[:, :2] - truth.ego_xy[boxes.frame]
    distance_m = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    counts = (distance_m < range_m[boxes.label]) & (boxes.n_points != 0)
    racked = np.isin(boxes.label, [facts.names.index(name) for name in facts.racked])
    rows = np.flatnonzero(counts & racked)
    counts[rows] = ~_in_rack(boxes.only(rows), truth.racks)
    return np.flatnonzero(counts)


def _in_rack(boxes: GlobalBoxes, racks: GlobalBoxes) -> Bool:
    """Whether the centre of each box (B,) lies in a rack of its frame, the border included."""
    by_frame = np.argsort(racks.frame, kind="stable")
    start = np.searchsorted(racks.frame[by_frame], boxes.frame, side="left")
    count = np.searchsorted(racks.frame[by_frame], boxes.frame, side="right") - start
    inside = np.zeros(len(boxes.frame), dtype=bool)
    for turn in range(int(count.max(initial=0))):  # a frame has one or two racks
        rows = np.flatnonzero(count > turn)
        rack = by_frame[start[rows] + turn]
        step = (boxes.centre[rows] - racks.centre[rack])[:, None, :]
        along = np.abs((step @ rotation(racks.rotation[rack]))[:, 0])  # length, width, height
        inside[rows] |= (along <= racks.size[rack][:, [1, 0, 2]] / 2).all(axis=1)
    return inside


def _classes(case: _Case, distance_m: float, facts: DetectionFacts) -> list[_Class]:
    """Every class at one distance."""
    hit = case.taken(distance_m) >= 0
    n_true = np.bincount(case.true.label, minlength=len(facts.classes)).tolist()
    of_label = [case.found.label == label for label in range(len(facts.classes))]
    return [
        _Class(n, case.found.score[own], hit[own]) for n, own in zip(n_true, of_label, strict=True)
    ]


def _class_errors(
    case: _Case, classes: list[_Class], facts: DetectionFacts
) -> dict[str, dict[str, float]]:
    """Errors of every class, NaN where it has none."""
    taken = case.taken(ERROR_DISTANCE_M)
    hits = np.flatnonzero(taken >= 0)
    values = _errors(case.found.only(hits), case.true.only(taken[hits]), facts.classes)
    own = [case.found.label[hits] == label for label in range(len(facts.classes))]
    return {
        one.name: {
            error: classes[label].error(values[error][own[label]]) if asked else np.nan
            for error, asked in ((error, error in one.errors) for error in ERRORS)
        }
        for label, one in enumerate(facts.classes)
    }


def _errors(
    found: GlobalBoxes, true: GlobalBoxes, classes: tuple[BoxClass, ...]
) -> dict[str, Float64]:
    """The five errors (N,) of predictions and the objects that they found, row by row."""
    common = np.minimum(found.size, true.size).prod(axis=1)
    both = found.size.prod(axis=1) + true.size.prod(axis=1)
    half_turn = np.array([one.half_turn for one in classes], dtype=bool)
    period = np.where(half_turn[found.label], np.pi, 2 * np.pi)
    turn = _yaw(true.rotation) - _yaw(found.rotation)
    said = zip(found.attribute, true.attribute, strict=True)
    attribute = [float(one != other) if other else np.nan for one, other in said]
    return {
        "trans": np.linalg.norm(found.centre[:, :2] - true.centre[:, :2], axis=1),
        "scale": 1 - common / (both - common),
        "orient": np.abs((turn + period / 2) % period - period / 2),
        "vel": np.linalg.norm(found.velocity - true.velocity, axis=1),
        "attr": np.array(attribute, dtype=np.float64),
    }


def _yaw(quaternion: Float64) -> Float64:
    """Direction (N,) of the x axis in the plane, radians."""
    turn = rotation(quaternion)
    yaw: Float64 = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    return yaw


def _counts(boxes: GlobalBoxes, facts: DetectionFacts) -> dict[str, int]:
    counts = np.bincount(boxes.label, minlength=len(facts.classes)).tolist()
    return dict(zip(facts.names, counts, strict=True))

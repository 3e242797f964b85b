"""The detection metric against the official kit's, on the same boxes.

Offers `rows`. The kit is timed from boxes in memory to numbers; ours besides filters by range,
points and racks, which the kit does while it loads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.rows import Row, interleave
from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.downstream.detection.data.objects import facts_of
from lima_bench.downstream.scores.nuscenes_detection import detection_scores

FACTS = facts_of(NuScenes.card)
FRAMES, QUICK_FRAMES = 100, 5
TRUE, FOUND = 30, 100
"""Objects and predictions of a frame; nuScenes has 31 objects that count in one of validation."""


def rows(quick: bool) -> list[Row]:
    """One validation, whole."""
    n_frames, rounds = (QUICK_FRAMES, 1) if quick else (FRAMES, 5)
    truth, found = _boxes(n_frames)
    kit = _kit(truth, found)
    ours = detection_scores(truth, found, FACTS)
    error = abs(ours.nds - kit().nd_score)
    assert error < 1e-9, error
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: detection_scores(truth, found, FACTS),
        "devkit": kit,
    }
    timings = interleave(work, rounds=rounds)
    milliseconds = timings.sample("ours", 1e3).median
    note = f"{milliseconds:.1f} ms for {n_frames} frames of {TRUE} objects, {FOUND} predictions"
    ratio = timings.ratio("devkit", "ours")
    return [Row.of("metric/detection over devkit", ratio, "x", note=note)]


def _boxes(n_frames: int) -> tuple[DetectionTruth, GlobalBoxes]:
    """Objects within the range of every class, and predictions of which half are near one."""
    rng = np.random.default_rng(0)
    true, found = n_frames * TRUE, n_frames * FOUND
    ego_xy = rng.uniform(0, 1000, (n_frames, 2))
    frame = np.repeat(np.arange(n_frames), TRUE)
    turn = rng.uniform(-np.pi, np.pi, true)
    nought = np.zeros(true)
    boxes = GlobalBoxes(
        frame=frame,
        centre=np.column_stack([ego_xy[frame] + rng.uniform(-18, 18, (true, 2)), nought]),
        size=rng.uniform(0.5, 5, (true, 3)),
        rotation=np.column_stack([np.cos(turn / 2), nought, nought, np.sin(turn / 2)]),
        velocity=rng.normal(0, 3, (true, 2)),
        label=rng.integers(0, len(FACTS.classes), true),
        score=np.full(true, np.nan),
        attribute=("vehicle.moving",) * true,
        n_points=np.ones(true, dtype=np.int64),
    )
    within = rng.integers(0, TRUE, (n_frames, FOUND)) + TRUE * np.arange(n_frames)[:, None]
    seen = vars(boxes.only(within.ravel()))
    off = rng.normal(0, rng.choice([0.5, 10.0], (found, 1)), (found, 3))
    guesses = {"centre": seen["centre"] + off, "score": rng.random(found)}
    guesses["n_points"] = np.full(found, -1)
    samples = tuple(f"{number}" for number in range(n_frames))
    racks = boxes.only(np.zeros(0, np.int64))
    truth = DetectionTruth(samples, np.arange(n_frames), ego_xy, boxes, racks)
    return truth, GlobalBoxes(**{**seen, **guesses})


def _kit(truth: DetectionTruth, found: GlobalBoxes) -> Callable[[], Any]:
    """The kit's evaluation of the boxes that its filters would leave."""
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    kit = DetectionEval.__new__(DetectionEval)  # loading is no part of the comparison
    kit.cfg, kit.verbose = config_factory(FACTS.metric), False
    kit.gt_boxes = _eval_boxes(truth, truth.boxes)
    kit.pred_boxes = _eval_boxes(truth, found)
    return lambda: kit.evaluate()[0]


def _eval_boxes(truth: DetectionTruth, boxes: GlobalBoxes) -> Any:
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.detection.data_classes import DetectionBox

    range_m = np.array([one.range_m for one in FACTS.classes])[boxes.label]
    away_m = np.linalg.norm(boxes.centre[:, :2] - truth.ego_xy[boxes.frame], axis=1)
    kept: Any = EvalBoxes()
    for sample in truth.samples:
        kept.add_boxes(sample, [])
    for row in np.flatnonzero(away_m < range_m).tolist():
        sample = truth.samples[boxes.frame[row]]
        box = DetectionBox(
            sample_token=sample,
            translation=tuple(boxes.centre[row]),
            size=tuple(boxes.size[row]),
            rotation=tuple(boxes.rotation[row]),
            velocity=tuple(boxes.velocity[row]),
            num_pts=int(boxes.n_points[row]),
            detection_name=FACTS.names[boxes.label[row]],
            detection_score=float(np.nan_to_num(boxes.score[row], nan=-1.0)),
            attribute_name=boxes.attribute[row],
        )
        kept.add_boxes(sample, [box])
    return kept

"""mIoU against counting by hand, and each author's rule for absent classes."""

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.scores.miou import ConfusionMatrix, mean_iou
from lima_bench.downstream.scores.result import summarise


def _matrix(truth, prediction, n_classes=3) -> ConfusionMatrix:
    matrix = ConfusionMatrix(n_classes)
    matrix.add(np.array(truth), np.array(prediction))
    return matrix


def test_iou_by_hand() -> None:
    matrix = _matrix([0, 0, 0, 1, 1, 2, IGNORE], [0, 0, 1, 1, 2, 2, 1])
    assert matrix.counts.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert matrix.iou() == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    assert mean_iou(matrix) == pytest.approx(0.5)
    assert matrix.accuracy() == pytest.approx(4 / 6)
    assert matrix.frequency_weighted_iou() == pytest.approx(
        3 / 6 * 2 / 3 + 2 / 6 * 1 / 3 + 1 / 6 * 1 / 2
    )


def test_adding_in_parts_is_adding_at_once() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 5, 999), rng.integers(0, 5, 999)
    truth[::7] = IGNORE
    whole, parts = _matrix(truth, said, 5), ConfusionMatrix(5)
    for chunk in np.array_split(np.arange(999), 10):
        parts.add(truth[chunk], said[chunk])
    assert np.array_equal(whole.counts, parts.counts) and whole.n_points == (truth != IGNORE).sum()
    brute = [
        ((truth == c) & (said == c)).sum()
        / ((truth != IGNORE) & ((truth == c) | (said == c))).sum()
        for c in range(5)
    ]
    assert whole.iou() == pytest.approx(brute)


@pytest.mark.parametrize(
    ("variant", "third"),
    [("strict", None), ("nuscenes", None), ("semantickitti", 0), ("waymo", 1), ("slidr", 1)],
)
def test_absent_classes_by_variant(variant, third) -> None:
    matrix = _matrix([0, 0, 1], [0, 1, 1])
    expected = [1 / 2, 1 / 2] if third is None else [1 / 2, 1 / 2, third]
    assert mean_iou(matrix, variant) == pytest.approx(np.mean(expected))


def test_a_class_that_is_only_predicted_counts_as_zero_everywhere() -> None:
    matrix = _matrix([0, 0, 1], [0, 2, 1])
    for variant in ("strict", "nuscenes", "semantickitti", "waymo", "slidr"):
        assert mean_iou(matrix, variant) == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_no_points_have_no_score() -> None:
    matrix = ConfusionMatrix(3)
    assert np.isnan(mean_iou(matrix)) and np.isnan(matrix.accuracy())
    assert np.isnan(matrix.frequency_weighted_iou())


def test_an_id_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3\.\.3 for 3 classes"):
        _matrix([0], [3])
    with pytest.raises(ValueError, match="-1"):
        _matrix([-1], [0])


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UserError, match='Did you mean "waymo"'):
        mean_iou(_matrix([0], [0]), "waimo")


def test_summary_is_in_percent_and_json() -> None:
    whole, half = _matrix([0, 0, 1], [0, 1, 1]), _matrix([0, 0], [0, 1])
    empty = ConfusionMatrix(3)
    scores = summarise({"all": whole, "seen": half, "unseen": empty}, ("a", "b", "c"), "waymo")
    assert scores.scores == pytest.approx(
        {
            "miou": 50.0,
            "miou_seen": 25.0,
            "miou_waymo": 200 / 3,
            "accuracy": 200 / 3,
            "fwiou": 50.0,
            "classes_present": 2.0,
        }
    )
    assert scores.details["iou"]["all"] == {"a": 50.0, "b": 50.0, "c": None}
    assert scores.details["n_points"] == {"all": 3, "seen": 2}
    assert scores.details["confusion"]["all"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]

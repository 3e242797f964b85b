"""mIoU against counting by hand, and each author's rule for absent classes."""

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import DATASETS
from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.scores.miou import VARIANTS, ConfusionMatrix, mean_iou, mean_of
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
    ("variant", "expected"),
    [
        ("strict", (0.5 + 0.5) / 2),
        ("nuscenes", (0.5 + 0.5) / 2),
        ("nuscenes_c", (0.5 + 0.5) / 2),
        ("mmdet3d", (0.5 + 0.5) / 2),
        ("semantickitti", (0.5 + 0.5 + 0) / 3),
        ("scribblekitti", (0.5 + 0.5 + 0) / 3),
        ("daps3d", (0.5 + 0.5 + 0) / 3),
        ("rellis3d", (0.5 + 0.5 + 0) / 4),
        ("waymo", (0.5 + 0.5 + 1) / 3),
        ("semanticstf", (0.5 + 0.5 + 1) / 3),
        ("semanticstf_by_weather", (0.5 + 0.5) / 2),
        ("slidr", (0.5 + 0.5 + 1) / 3),
        ("synth4d", np.nan),
    ],
)
def test_absent_classes_by_variant(variant: str, expected: float) -> None:
    matrix = _matrix([0, 0, 1], [0, 1, 1])
    assert mean_iou(matrix, variant) == pytest.approx(expected, nan_ok=True)


def test_every_variant_is_tested_and_every_card_names_one() -> None:
    cases = test_absent_classes_by_variant.pytestmark[0].args[1]
    assert {variant for variant, _ in cases} == set(VARIANTS)
    for name in DATASETS.names():
        card = DATASETS.get(name).card
        for reading in ("", *card.variants):
            assert card.variant(reading).metric in VARIANTS, f"{name}:{reading}"


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_class_that_is_only_predicted_counts_as_zero_everywhere(variant: str) -> None:
    matrix = _matrix([0, 0, 1], [0, 2, 1])
    if variant == "semanticstf_by_weather":
        assert mean_iou(matrix, variant) == pytest.approx((1 / 2 + 0) / 2)  # drops what is perfect
        return
    divisor = 4 if variant == "rellis3d" else 3
    assert mean_iou(matrix, variant) == pytest.approx((1 / 2 + 1 + 0) / divisor)


SALSANEXT_SUM, KPCONV_SUM = 603.07, 279.62
"""Sums of the 14 IoUs, in percent, that the authors of RELLIS-3D publish for two networks."""


@pytest.mark.parametrize(("total", "published"), [(SALSANEXT_SUM, 40.20), (KPCONV_SUM, 18.64)])
def test_published_means_of_rellis3d_have_fifteen_in_the_divisor(
    total: float, published: float
) -> None:
    iou = np.full(14, total / 14 / 100)
    assert round(100 * mean_of(iou, VARIANTS["rellis3d"]), 2) == published
    assert round(100 * mean_of(iou, VARIANTS["strict"]), 2) == round(total / 14, 2) != published


def _random_scans(
    n_classes: int, seed: int, absent: tuple[int, ...] = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and predictions that agree now and then; some truth is ignored."""
    rng = np.random.default_rng(seed)
    present = np.setdiff1d(np.arange(n_classes), absent)
    scans = []
    for n_points in (1, 700, 5000):
        truth = rng.choice(present, n_points)
        said = np.where(rng.random(n_points) < 0.6, truth, rng.choice(present, n_points))
        truth = np.where(rng.random(n_points) < 0.1, IGNORE, truth)
        scans.append((truth, said))
    return scans


@pytest.mark.parametrize("absent", [(), (3, 15)])
def test_nuscenes_agrees_with_the_devkit(absent: tuple[int, ...]) -> None:
    """Theirs has 0 for what is ignored, and classes from 1."""
    theirs = pytest.importorskip("nuscenes.eval.lidarseg.utils").ConfusionMatrix(17, 0)
    ours = ConfusionMatrix(16)
    for truth, said in _random_scans(16, seed=1, absent=absent):
        ours.add(truth, said)
        theirs.update(np.where(truth == IGNORE, 0, truth + 1), said + 1)
    assert np.array_equal(theirs.global_cm[1:, 1:], ours.counts)
    np.testing.assert_allclose(ours.iou(), theirs.get_per_class_iou()[1:], rtol=1e-6)
    assert np.isnan(ours.iou()).sum() == len(absent)
    assert mean_iou(ours, "nuscenes") == pytest.approx(theirs.get_mean_iou(), rel=1e-6)
    weighted = theirs.get_freqweighted_iou()
    assert ours.frequency_weighted_iou() == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("absent", [(), (0, 7, 18)])
def test_semantickitti_agrees_with_its_own_formula(absent: tuple[int, ...]) -> None:
    """A predicted x true table over 20 ids, of which 0 is ignored; IoU = tp / (tp + fp + fn)."""
    table = np.zeros((20, 20))
    ours = ConfusionMatrix(19)
    for truth, said in _random_scans(19, seed=2, absent=absent):
        ours.add(truth, said)
        np.add.at(table, (said + 1, np.where(truth == IGNORE, 0, truth + 1)), 1)
    table[:, 0] = 0
    hits = np.diag(table)
    unions = (table.sum(1) - hits) + (table.sum(0) - hits) + hits
    theirs = (hits / (unions + 1e-15))[1:]
    np.testing.assert_allclose(np.nan_to_num(ours.iou()), theirs, rtol=1e-12)
    assert mean_iou(ours, "semantickitti") == pytest.approx(theirs.mean(), rel=1e-12)
    assert (mean_iou(ours, "strict") > mean_iou(ours, "semantickitti")) == bool(absent)
    accuracy = hits.sum() / table[:, 1:].sum()
    assert ours.accuracy() == pytest.approx(accuracy)


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


def test_the_authors_score_stands_beside_ours_where_it_differs() -> None:
    matrix = _matrix([0, 0, 1], [0, 1, 1])
    for variant, score in (("nuscenes", None), ("semantickitti", 100 / 3), ("synth4d", None)):
        scores = summarise({"all": matrix}, ("a", "b", "c"), variant).scores
        assert scores["miou"] == pytest.approx(50)
        assert scores.get(f"miou_{variant}") == (score and pytest.approx(score))

"""Our detection metric gives the official kit's numbers, whatever boxes it is given."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.nuscenes.truth import read_truth
from lima_bench.downstream.scores import devkit, matching
from lima_bench.downstream.scores.detection_result import (
    DetectionScores,
    MetricsDisagree,
    agree,
    detection_result,
)
from lima_bench.downstream.scores.devkit import (
    check_split,
    judged,
    official_scores,
    write_results,
)
from lima_bench.downstream.scores.nuscenes_detection import detection_scores
from tests.downstream.detection.scoring_tables import (
    EMPTY,
    FACTS,
    SPLIT,
    as_found,
    frames_of,
    guesses,
    write_tables,
)

SCENES = ("slow", "one", "two")


def official(
    tables: Path, truth: DetectionTruth, found: GlobalBoxes, folder: Path
) -> DetectionScores:
    results = write_results(found, truth, FACTS, folder)
    return official_scores(tables, SPLIT, results, folder, FACTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DetectionTruth]:
    tables = write_tables(tmp_path_factory.mktemp("made"), seed=0)
    return tables, read_truth(tables, frames_of(*SCENES), FACTS)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_official_kit(seed: int, tmp_path: Path) -> None:
    tables = write_tables(tmp_path, seed)
    truth = read_truth(tables, frames_of(*SCENES), FACTS)
    found = guesses(truth, seed)
    ours = detection_scores(truth, found, FACTS)
    agree(ours, official(tables, truth, found, tmp_path / "out"), tolerance=1e-9)
    # What makes the comparison worth something:
    assert 0.05 < ours.mean_ap < 0.9 and len(np.unique(found.score)) < 12
    assert ours.n_true[EMPTY] == 0 and ours.ap[EMPTY]["4.0"] == 0
    assert ours.n_found["trailer"] == 0 < ours.n_true["trailer"]
    assert 0 < sum(ours.n_found.values()) < len(found.frame)
    assert np.isnan(found.velocity).any() and np.isnan(truth.boxes.velocity).any()
    assert 0 < ours.class_errors["barrier"]["orient"] < 1.2 and "" in found.attribute
    assert np.isnan([ours.class_errors["traffic_cone"][e] for e in ("orient", "vel", "attr")]).all()
    assert (np.diff(truth.turn) < 0).any()


def test_racks_take_cycles_out(made: tuple[Path, DetectionTruth]) -> None:
    _, truth = made
    none = truth.racks.only(np.zeros(0, np.int64))
    found = as_found(truth)
    near = detection_scores(truth, found, FACTS)
    free = detection_scores(replace(truth, racks=none), found, FACTS)
    fewer = {name for name in FACTS.names if near.n_true[name] < free.n_true[name]}
    assert fewer and fewer <= set(FACTS.racked)
    assert all(near.n_found[name] < free.n_found[name] for name in fewer)


def test_nothing_found_is_zero(made: tuple[Path, DetectionTruth], tmp_path: Path) -> None:
    tables, truth = made
    found = as_found(truth).only(np.zeros(0, np.int64))
    scores = judged(tables, SPLIT, truth, found, tmp_path, FACTS)
    assert scores.scores["map"] == scores.scores["nds"] == 0
    assert scores.scores["mate"] == 1 and "No frame has a box" in scores.details["note"]
    results = json.loads((tmp_path / devkit.RESULTS).read_text())["results"]
    assert results == {token: [] for token in truth.samples}


def test_a_class_alone_and_frames_without_boxes(
    made: tuple[Path, DetectionTruth], tmp_path: Path
) -> None:
    tables, truth = made
    found = as_found(truth)
    label = FACTS.names.index("pedestrian")
    found = found.only(np.flatnonzero((found.label == label) & (found.frame % 3 == 0)))
    ours = detection_scores(truth, found, FACTS)
    agree(ours, official(tables, truth, found, tmp_path), tolerance=1e-9)
    assert 0 < ours.ap["pedestrian"]["0.5"] < 1
    assert ours.mean_ap == pytest.approx(ours.class_ap()["pedestrian"] / 10)


def test_zero_scores_count_as_not_reached(
    made: tuple[Path, DetectionTruth], tmp_path: Path
) -> None:
    """The kit takes the last score above zero for the highest recall."""
    tables, truth = made
    found = as_found(truth)
    found = replace(found, score=(found.frame % 2).astype(np.float64))
    ours = detection_scores(truth, found, FACTS)
    agree(ours, official(tables, truth, found, tmp_path), tolerance=1e-9)


def test_truth_as_prediction_is_perfect(
    made: tuple[Path, DetectionTruth], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables, truth = made
    scores = judged(tables, SPLIT, truth, as_found(truth), tmp_path, FACTS)
    assert capsys.readouterr() == ("", "")
    assert scores.scores["map"] == pytest.approx(90) and scores.scores["classes_present"] == 9
    assert scores.details["ap"] == pytest.approx({n: 100 * (n != EMPTY) for n in FACTS.names})
    assert scores.scores["mate"] == pytest.approx(0.1)  # 1 for the class without objects
    assert {"mase", "maoe", "mave", "maae", "nds"} < scores.scores.keys()
    assert scores.details["errors"]["traffic_cone"]["vel"] is None
    json.dumps([scores.scores, scores.details], allow_nan=False)
    summary = json.loads((tmp_path / "metrics_summary.json").read_text())
    assert 100 * summary["nd_score"] == scores.scores["nds"]
    assert "mAP: 0.9000" in (tmp_path / "devkit.log").read_text()
    assert summary["meta"] == devkit.META and summary["meta"]["use_lidar"]


def test_too_many_boxes(made: tuple[Path, DetectionTruth], tmp_path: Path) -> None:
    """What the kit refuses for another reason than emptiness is not swallowed."""
    tables, truth = made
    found = as_found(truth).only(np.zeros(501, np.int64))
    with pytest.raises(ValueError, match="501 boxes in a frame, 500 at most"):
        detection_scores(truth, found, FACTS)
    with pytest.raises(AssertionError, match="Only <= 500 boxes"):
        official(tables, truth, found, tmp_path)


def test_disagreement_is_named(
    made: tuple[Path, DetectionTruth], tmp_path: Path, monkeypatch
) -> None:
    tables, truth = made
    found = guesses(truth, 0)
    ours = detection_scores(truth, found, FACTS)
    agree(ours, replace(ours, nds=ours.nds + 0.9e-6))
    with pytest.raises(MetricsDisagree, match="NDS: ours"):
        agree(ours, replace(ours, nds=ours.nds + 1.1e-6))
    other = {**ours.class_errors, "barrier": {**ours.class_errors["barrier"], "vel": 1.0}}
    with pytest.raises(MetricsDisagree, match=r"vel error of barrier: ours nan, official 1.0"):
        agree(ours, replace(ours, class_errors=other))
    with pytest.raises(MetricsDisagree, match=r"AP of car at 0.5 m: ours .*, official None"):
        agree(ours, replace(ours, ap={n: v for n, v in ours.ap.items() if n != "car"}))
    wrong = replace(truth, ego_xy=truth.ego_xy + 30)
    with pytest.raises(MetricsDisagree, match="mAP: ours"):
        judged(tables, SPLIT, wrong, found, tmp_path, FACTS)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("val", 'scores "val" only where the version ends with "trainval"'),
        ("mini_val", 'scores "mini_val" only where the version ends with "mini"'),
        ("made-up", 'no list of scenes for split "made-up" here. Known: made_up, rest'),
        ("rest", "Of the 4 frames .*, 4 are not scored, and 12 of the scored ones are not of it"),
    ],
)
def test_wrong_splits_are_told_first(
    made: tuple[Path, DetectionTruth], split: str, message: str, tmp_path: Path
) -> None:
    tables, truth = made
    with pytest.raises(UserError, match=message):
        judged(tables, split, truth, as_found(truth), tmp_path, FACTS)
    assert not any(tmp_path.iterdir())


def test_a_part_of_a_split_is_refused(made: tuple[Path, DetectionTruth]) -> None:
    tables, truth = made
    check_split(tables, SPLIT, truth.samples)
    with pytest.raises(UserError, match=r"Of the 12 frames .*, 1 are not scored, and 0 of"):
        check_split(tables, SPLIT, truth.samples[1:])


def test_a_version_that_the_kit_does_not_open(tmp_path: Path) -> None:
    tables = write_tables(tmp_path, 0)
    truth = read_truth(tables, frames_of(*SCENES), FACTS)
    (tmp_path / "map.png").unlink()
    with pytest.raises(UserError, match=r"does not open this version: map mask .* does not exist"):
        official(tables, truth, as_found(truth), tmp_path / "out")


def test_built_in_splits_are_the_kits() -> None:
    splits = pytest.importorskip("nuscenes.utils.splits")
    assert splits.create_splits_scenes().keys() == devkit.SUFFIX_OF.keys()


def test_facts_are_the_kits() -> None:
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.utils import category_to_detection_name

    config = config_factory(FACTS.metric)
    assert list(config.class_range) == list(FACTS.names)
    assert config.class_range == {one.name: one.range_m for one in FACTS.classes}
    assert config.max_boxes_per_sample == FACTS.most_boxes
    for category in NAMES:
        label = FACTS.label_of.get(category)
        assert category_to_detection_name(category) == (
            label if label is None else FACTS.names[label]
        )


NAMES = ("vehicle.car", "vehicle.bus.bendy", "human.pedestrian.stroller", "vehicle.construction",
         "human.pedestrian.child", "animal", "static_object.bicycle_rack")  # fmt: skip


def test_result_of_our_metric_alone(made: tuple[Path, DetectionTruth]) -> None:
    _, truth = made
    ours = detection_scores(truth, guesses(truth, 0), FACTS)
    result = detection_result(ours)
    assert result.scores["map"] == pytest.approx(100 * ours.mean_ap)
    assert result.scores["maoe"] == ours.errors["orient"]
    assert result.details["n_true"] == ours.n_true


def greedy(found, true, nearer_m):
    """As the kit writes it: one prediction after the other, best first."""
    free, taken = np.ones(len(true), bool), np.full(len(found), -1)
    for i, (group, xy) in enumerate(found):
        best, nearest = -1, np.inf
        for j, (other, place) in enumerate(true):
            distance = np.hypot(*(np.subtract(xy, place)))
            if other == group and free[j] and distance < nearest:
                best, nearest = j, distance
        if nearest < nearer_m:
            taken[i], free[best] = best, False
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_matching_is_the_greedy_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where many wish for the same, and where pairs are looked at in many blocks."""
    monkeypatch.setattr(matching, "BLOCK", 7)
    rng = np.random.default_rng(seed)
    n_found, n_true = 80, 40
    group, other = rng.integers(0, 3, n_found), rng.integers(0, 4, n_true)
    xy = np.round(rng.uniform(0, 6, (n_found, 2)), 1)
    place = np.round(rng.uniform(0, 6, (n_true, 2)), 1)
    place[:5] = place[5:10]  # equally near
    rank = rng.permutation(n_found)
    pairs = matching.near_pairs(group, xy, other, place, 4.0)
    order = np.argsort(rank)
    for nearer_m in (0.55, 1.05, 4.0):
        taken = matching.matched(pairs, rank, n_true, nearer_m)
        naive = greedy(
            [(group[i], xy[i]) for i in order], list(zip(other, place, strict=True)), nearer_m
        )
        np.testing.assert_array_equal(taken[order], naive)
        assert (taken >= 0).sum() > 5

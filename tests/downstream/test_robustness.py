"""mCE and mRR: published rows come out to the printed digit, and parts are refused."""

import json
from pathlib import Path

import pytest

from lima_bench.downstream.scores.robustness import (
    BASELINE,
    CLEAN_BASELINE,
    robustness,
)


@pytest.fixture(scope="module")
def golden(samples: Path) -> dict:
    return json.loads((samples / "nuscenes_c/mce_golden.json").read_text())


def scored(golden: dict, row: dict) -> tuple[float, float]:
    miou = {name: {"mean": s} for name, s in zip(golden["order"], row["scores"], strict=True)}
    result = robustness(miou, row["clean"])
    return round(result.mce, 2), round(result.mrr, 2)


def test_published_rows(golden: dict) -> None:
    rows = {row["name"].split(": ")[1].split(",")[0]: row for row in golden["checks"]}
    assert set(rows) == {"random init", "Seal", "PPKT", "SLidR"}
    for name, row in rows.items():
        printed = (row["published_mCE"], row["published_mRR"])
        assert scored(golden, row) == (row["computed_mCE"], row["computed_mRR"])
        assert (scored(golden, row) == printed) is (name != "PPKT"), name
    assert scored(golden, rows["PPKT"]) == (105.94, 75.96)  # printed: 105.64, 76.06


def test_baseline_is_the_published_one(golden: dict) -> None:
    row = golden["baseline_minkunet18_cr1.0"]
    assert list(BASELINE) == golden["order"] and list(BASELINE.values()) == row["scores"]
    assert row["clean"] == CLEAN_BASELINE
    assert scored(golden, row) == (row["mCE"], row["mRR"]) == (100.0, 74.44)


def test_sums_over_severities() -> None:
    """The published formula with its sums, against means; and the mean's place in each."""
    miou = {name: {"light": 60.0 + i, "moderate": 50.0, "heavy": 20.0 - i}
            for i, name in enumerate(BASELINE)}  # fmt: skip
    result = robustness(miou, 80.0)
    for name, scores in miou.items():
        error = sum(100 - s for s in scores.values()) / (3 * (100 - BASELINE[name]))
        assert result.corruption_error[name] == pytest.approx(100 * error)
        assert result.resilience[name] == pytest.approx(100 * sum(scores.values()) / (3 * 80))
    assert result.mce == pytest.approx(sum(result.corruption_error.values()) / 8)


def test_parts_are_refused() -> None:
    whole = {name: {"light": 50.0} for name in BASELINE}
    for broken in (
        {k: v for k, v in whole.items() if k != "snow"},
        whole | {"hail": {"light": 1.0}},
        whole | {"snow": {}},
        whole | {"snow": {"light": 1.0, "heavy": 1.0}},
    ):
        with pytest.raises(ValueError, match=r"corruptions|severities"):
            robustness(broken, 70.0)
    with pytest.raises(ValueError, match="clean"):
        robustness(whole, 0.0)

"""Conditions of frames are splits of the score; corrupted copies give mCE and mRR beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Source
from lima_bench.downstream import finetune
from lima_bench.downstream.corrupted import with_corrupted
from lima_bench.downstream.evaluate import evaluate
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.downstream.scores.result import Scores
from lima_bench.downstream.scores.robustness import BASELINE
from lima_bench.downstream.segment import load_segmenter
from lima_bench.lima.recipes import Length, Optimiser

LEVELS = ("light", "moderate", "heavy")
NAMES = tuple(f"{name}-{level}" for name in BASELINE for level in LEVELS)


class Conditioned:
    """Frames of another loader, each under the condition that its number says."""

    def __init__(self, source: Source, names: tuple[str, ...]) -> None:
        self.source, self.names = source, names

    def __call__(self, frame):
        return replace(self.source.load(frame), condition=self.names[frame.index])


@pytest.fixture
def corrupted(make_source) -> Source:
    source = make_source(len(NAMES), n_points=120, name="corrupted")
    card = source.card.model_copy(update={"conditions": NAMES})
    return Source(card, source.frames, Conditioned(source, NAMES))


@pytest.fixture
def segmenter(checkpoint, student):
    return load_segmenter(checkpoint, student, 3, bn_momentum=0.05, backing="learns", seed=0)


def test_every_condition_has_a_score(corrupted, segmenter, student) -> None:
    whole = evaluate(segmenter, corrupted, student, batch_size=5)
    for number in (0, 7):
        alone = replace(corrupted, frames=[corrupted.frames[number]])
        one = evaluate(segmenter, alone, student, batch_size=1)
        assert whole.scores[f"miou_{NAMES[number]}"] == one.scores["miou"]
    n_points = whole.details["n_points"]
    assert sum(n_points[name] for name in NAMES) == n_points["all"]


def test_a_run_tells_how_robust_the_network_is(
    corrupted, make_source, checkpoint, student, tmp_path
) -> None:
    recipe = DownstreamRecipe(length=Length(steps=4), batch_size=2, optimiser=Optimiser(lr=0.01))
    sources = make_source(4), make_source(3, name="val")
    options = {"seed": 0, "folder": tmp_path / "a"}
    plain = finetune.run(checkpoint, student, recipe, *sources, **options)
    options["folder"] = tmp_path / "b"
    asked = finetune.run(checkpoint, student, recipe, *sources, **options, corrupted=corrupted)
    assert asked.scores["miou"] == plain.scores["miou"]
    assert asked.details["weights_digest"] == plain.details["weights_digest"]
    table = asked.details["robustness"]["miou"]
    assert set(table) == set(BASELINE) and set(table["fog"]) == set(LEVELS)
    means = {name: np.mean(list(row.values())) for name, row in table.items()}
    errors = [(100 - means[name]) / (100 - BASELINE[name]) for name in BASELINE]
    assert asked.scores["mce"] == pytest.approx(100 * np.mean(errors))
    clean = asked.scores["miou"]
    assert asked.scores["mrr"] == pytest.approx(100 * np.mean(list(means.values())) / clean)
    assert asked.scores["miou_snow"] == pytest.approx(means["snow"])


def test_a_mean_over_a_part_is_refused() -> None:
    scores = {f"miou_{name}": 30.0 for name in NAMES[:-1]}
    with pytest.raises(UserError, match="severities differ"):
        with_corrupted(Scores({"miou": 40.0}), Scores(scores))
    scores = {f"miou_{name}": 30.0 for name in NAMES if not name.startswith("fog")}
    with pytest.raises(UserError, match="expected"):
        with_corrupted(Scores({"miou": 40.0}), Scores(scores))

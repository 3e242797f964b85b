"""Class floors on rendered points: no class is missing where labels are few or scores are taken."""

import numpy as np
import pytest

from lima_bench.datasets.nuscenes.expedition import SHARE_STRIDE
from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.labels import SCORED_16, SCORED_19
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

FLOOR = 10
"""Points of the rarest class at 240 columns, as `showing.FLOOR_POINTS` asks of 480."""


def _blind(spec: WorldSpec) -> WorldSpec:
    """The same streets without pictures and sweeps, for speed."""
    silent = {"cameras": (), "sweeps_per_keyframe": 0, "pretrain_sweeps": 0, "detection_sweeps": 0}
    nuscenes = spec.nuscenes.model_copy(update=silent)
    return spec.model_copy(update={"nuscenes": nuscenes})


def _counts(recording: Recording, scored: np.ndarray, classes: int) -> np.ndarray:
    labels = np.concatenate([scored[moment.scan.label] for moment in recording.moments])
    return np.bincount(labels, minlength=256)[:classes]


SMOKE = _blind(named_spec("smoke"))
MUST_SHOW = [
    *(("val", i) for i in range(SMOKE.nuscenes.val_scenes)),
    *(("train", i) for i in sorted(SMOKE.nuscenes.pretrain_indices)),
    ("train", SHARE_STRIDE - 1),
]


@pytest.mark.parametrize(("split", "index"), MUST_SHOW)
def test_every_scored_class_is_seen(split: str, index: int) -> None:
    counts = _counts(drive(SMOKE, "nuscenes", split, index), SCORED_16, 16)
    assert counts.min() >= FLOOR, counts


def test_other_streets_are_not_forced() -> None:
    """An ordinary scene may lack a class: its mix is the town's, not the floor's."""
    counts = [_counts(drive(SMOKE, "nuscenes", "train", i), SCORED_16, 16) for i in range(1, 12)]
    assert (np.array(counts) == 0).any()
    assert (np.array(counts).sum(axis=0) > 0).all()


@pytest.mark.parametrize("index", [0, 7])
def test_every_class_of_semantickitti_is_seen(index: int) -> None:
    for split in ("train", "val")[: 1 + (index == 0)]:
        counts = _counts(drive(SMOKE, "semantickitti", split, index), SCORED_19, 19)
        assert counts.min() >= 7, counts

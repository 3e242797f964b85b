"""What the loader finds of the past: what the step would have found, before it asks."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float

from lima_bench.datasets.sample import Source
from lima_bench.lima import lookback, recall
from lima_bench.lima.batch import Batch
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.loading import batches_from
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.order import Share, make_order, order_of
from lima_bench.lima.recipes import (
    InputSettings,
    Length,
    PretrainRecipe,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.synthetic import GridTeacher, TinyStudent

STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5)),
    inputs=InputSettings(),
)
SETTINGS = LimaSettings(frames=3, radius_m=1.5)


class _Grids:
    """Stands for a cache of features: noise that depends on the camera alone."""

    def lookup(self, cameras) -> Float[torch.Tensor, "images 4 6 5"]:
        draws = (np.random.default_rng([*camera.id.encode()]) for camera in cameras)
        return torch.from_numpy(np.stack([rng.normal(size=(4, 6, 5)) for rng in draws])).half()


def _batches(source: Source, method: type, settings, batch_size=2) -> PretrainBatches:
    recipe = PretrainRecipe(length=Length(steps=4), batch_size=batch_size, image_size=(16, 24))
    order = order_of(method, settings, "streams")
    return PretrainBatches(
        source,
        STUDENT,
        recipe,
        Planner(method, settings),
        ImageInputs(grids=_Grids()),
        make_order(order, source.frames, Share(batch_size), 0),
        seed=0,
    )


def _lima(settings=SETTINGS) -> Lima:
    torch.manual_seed(0)
    return Lima(settings, GridTeacher(), TinyStudent())


def _blind(batch: Batch) -> Batch:
    return replace(batch, scans=tuple(replace(scan, matches=None) for scan in batch.scans))


def _walk(
    batches: PretrainBatches, steps: range, monkeypatch, settings: LimaSettings = SETTINGS
) -> list[int]:
    """Train on matches and without; both agree to the bit. The searches that a step still made."""
    searches: list[int] = []
    search = recall.nearest
    helped, alone = _lima(settings), _lima(settings)
    for step in steps:
        batch = batches[step]
        with monkeypatch.context() as patch:
            patch.setattr(recall, "nearest", lambda *_, s=step: searches.append(s) or search(*_))
            found = helped.targets(batch)
        expected = alone.targets(_blind(batch))
        assert torch.equal(found.point, expected.point)
        assert torch.equal(found.features, expected.features)
    return searches


@pytest.mark.parametrize(
    ("lengths", "batch_size"),
    [((6, 6), 2), ((3, 4, 5, 4), 2), ((12,), 2), ((4, 9), 1), ((11, 3), 4)],
)
def test_a_step_finds_what_it_would_have_searched_for(
    make_source, lengths, batch_size, monkeypatch
) -> None:
    """Over three epochs; in recordings of their own, shared by lanes, cut by lanes."""
    batches = _batches(make_source(lengths), Lima, SETTINGS, batch_size)
    steps = range(3 * batches.order.steps_per_epoch)
    assert _walk(batches, steps, monkeypatch) == []
    past = [len(scan.matches.indices) for step in steps for scan in batches[step].scans]
    assert max(past) == SETTINGS.frames - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"access": "random", "frames": 4},
        {"access": "random", "frames": 5, "window": "centred"},
        {"access": "random", "stride": 2},
        {"window": "centred", "frames": 4},
    ],
    ids=str,
)
def test_company_is_searched_before_the_step(make_source, changes, monkeypatch) -> None:
    settings = LimaSettings(radius_m=1.5, mix="none", **changes)
    source = make_source((6, 2, 7))
    batches = _batches(source, Lima, settings)
    steps = range(batches.order.steps_per_epoch)
    assert _walk(batches, steps, monkeypatch, settings) == []
    for step in steps:
        for scan in batches[step].scans[:2]:
            window = [scan.index + offset for offset in settings.brought]
            length = sum(frame.sequence == scan.sequence for frame in source.frames)
            kept = [index for index in window if 0 <= index < length]
            assert list(scan.matches.indices)[-len(kept) :] == kept or not kept


def test_a_run_that_starts_anywhere_only_searches_less(make_source, monkeypatch) -> None:
    batches = _batches(make_source((8, 8)), Lima, SETTINGS)
    assert _walk(batches, range(5, 12), monkeypatch) == []


def test_what_the_loader_does_not_know_is_searched_for(make_source, monkeypatch) -> None:
    """The outcome never hangs on the loader's foresight."""
    batches = _batches(make_source((8, 8)), Lima, SETTINGS)
    monkeypatch.setattr(batches._past, "_earlier", lambda step: [()] * 2)
    assert set(_walk(batches, range(4), monkeypatch)) == {1, 2, 3}


def test_matches_are_points_that_cameras_saw(make_source) -> None:
    source = make_source((6, 6))
    batches = _batches(source, Lima, SETTINGS)
    for step in range(1, 6):
        for scan in batches[step].scans:
            for index, rows in zip(scan.matches.indices, scan.matches.rows, strict=True):
                past = next(
                    n
                    for n, frame in enumerate(source.frames)
                    if (frame.sequence, frame.index) == (scan.sequence, index)
                )
                seen = len(np.unique(batches._load(past).pairs.point))
                assert rows.shape == (scan.stop - scan.start,)
                assert -1 <= rows.min() < 0 <= rows.max() < seen


def test_only_methods_that_look_back_have_it_worked_out(make_source) -> None:
    source = make_source((4, 4))
    for method, settings in ((Scalr, ScalrSettings()), (Lima, LimaSettings(frames=1))):
        batch = _batches(source, method, settings)[1]
        assert all(scan.matches is None for scan in batch.scans)


def test_a_pair_of_frames_is_searched_once(make_source, monkeypatch) -> None:
    searches = []
    search = lookback.nearest
    monkeypatch.setattr(lookback, "nearest", lambda *_: searches.append(_) or search(*_))
    batches = _batches(make_source((6, 6)), Lima, SETTINGS)
    for _ in range(2):
        for step in range(6):
            batches[step]
    assert len(searches) == 2 * (0 + 1 + 2 + 2 + 2 + 2)


def test_it_is_the_same_in_any_loading_process(make_source) -> None:
    batches = _batches(make_source((6, 6)), Lima, SETTINGS)
    expected = [batches[step] for step in range(4)]
    fresh = pickle.loads(pickle.dumps(batches))
    assert len(fresh._past._found) == 0
    for workers in (0, 2):
        for ours, batch in zip(batches_from(fresh, range(4), workers), expected, strict=True):
            for scan, twin in zip(ours.scans, batch.scans, strict=True):
                assert scan.matches.indices == twin.matches.indices
                assert torch.equal(scan.matches.rows, twin.matches.rows)

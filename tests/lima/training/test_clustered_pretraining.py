"""Clusters from the cache to the batch, and pretraining by methods that read them or no image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.clusters.build import build_clusters
from lima_bench.lima.clusters.kinds import KINDS
from lima_bench.lima.clusters.store import Clusters
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.methods.gcc3d import Gcc3d
from lima_bench.lima.methods.seal import Seal
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import (
    ClusterSettings,
    GroundSettings,
    InstanceSettings,
    Length,
    SegmentSettings,
)
from tests.lima.training.whole_runs import RECIPE, STUDENT, loads_alike, resumes

CLUSTERS = ClusterSettings(
    ground=GroundSettings(tries=20),
    segments=SegmentSettings(min_cluster_size=5, min_samples=2),
    pseudo_instances=InstanceSettings(radius_m=3, min_points=4, smallest=4),
)
METHODS_HERE = ("seal", "pointcontrast", "gcc3d")


@pytest.fixture(scope="module")
def source(make_source):
    return make_source((3, 2), n_points=150)


@pytest.fixture(scope="module")
def caches(source, cached):
    folder = cached(source)
    for kind in KINDS:
        build_clusters(source, kind, CLUSTERS, folder / kind)
    return folder


def _batches(source, caches, method, kind, batch_size=2):
    return PretrainBatches(
        source,
        STUDENT,
        RECIPE,
        Planner(method, METHODS.get(method.__name__.lower()).settings()),
        ImageInputs(),
        make_order("shuffled", source.frames, Share(batch_size), seed=0),
        seed=0,
        clusters=Clusters(caches / kind),
    )


def test_a_frame_and_its_neighbour_share_their_segments(source, caches):
    batches = _batches(source, caches, Seal, "segments", batch_size=5)
    store, batch = Clusters(caches / "segments"), batches[0]
    assert len(batch.scans) == 10 and batch.n_anchors == 5
    for number in range(5):
        scan, other = batch.scans[number], batch.scans[number + 5]
        assert other.anchor == number
        labels = store.lookup([scan.id, other.id], [150, 150])
        assert scan.clusters.tolist() == labels[0].tolist()
        assert other.clusters.tolist() == labels[1].tolist()
        assert set(labels[0].tolist()) & set(labels[1].tolist()) - {-1}
    assert batch.edge_m == 1.0
    last = next(scan for scan in batch.scans if scan.id == "0/2")
    assert next(s.id for s in batch.scans if s.anchor == batch.scans.index(last) and s != last) == (
        "0/1"
    )


def test_instances_belong_to_one_scan(source, caches):
    batch = _batches(source, caches, Gcc3d, "pseudo_instances")[0]
    assert len(batch.scans) == 2 and batch.voxels.n_clouds == 4
    assert any(int(scan.clusters.max()) >= 0 for scan in batch.scans)
    turns = batch.motion[:, :3, :3]
    assert not torch.allclose(turns[0], turns[2]) and not torch.allclose(turns[1], turns[3])


def test_clusters_of_other_company_are_refused(source, caches):
    with pytest.raises(UserError, match="were built over"):
        _batches(source, caches, Seal, "pseudo_instances")[0]


def _lesson(source, caches, name, **changes) -> Lesson:
    card = METHODS.get(name)
    needs = {
        "features": {"grids": caches / "grids"},
        "superpixels": {"superpixels": caches / "superpixels"},
        "clusters": {"clusters": caches / card.clusters},
    }
    options = {key: folder for need in card.needs for key, folder in needs[need].items()}
    settings = card.settings(**({"prototypes": 4} if name == "gcc3d" else {}))
    return Lesson(card, settings, STUDENT, RECIPE, source, **{**options, **changes})


@pytest.mark.parametrize("name", METHODS_HERE)
def test_killed_and_resumed_gives_the_same_bits(source, caches, tmp_path: Path, name) -> None:
    scores = resumes(_lesson(source, caches, name), tmp_path, stop=5)
    assert scores["steps"] == 6 and scores["final_loss"] != 0
    assert name != "gcc3d" or scores["final_harmony"] != 0


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_two_devices_keep_banks_of_their_own_and_resume(source, caches, tmp_path: Path) -> None:
    lesson = _lesson(source, caches, "gcc3d")
    lesson = replace(lesson, recipe=RECIPE.model_copy(update={"batch_size": 1}))
    assert resumes(lesson, tmp_path, stop=5, devices=2)["final_harmony"] != 0


def test_loading_processes_change_nothing(source, caches, tmp_path) -> None:
    recipe = RECIPE.model_copy(update={"length": Length(steps=2)})
    loads_alike(replace(_lesson(source, caches, "gcc3d"), recipe=recipe), tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"clusters": None}, "needs 3D clusters"), ({"clusters": "segments"}, "Here lie segments")],
)
def test_missing_or_other_clusters_are_told(source, caches, tmp_path, changes, complaint) -> None:
    folder = changes["clusters"] and caches / changes["clusters"]
    lesson = _lesson(source, caches, "gcc3d", clusters=folder)
    with pytest.raises(UserError, match=complaint):
        pretrain(lesson, seed=0, folder=tmp_path, checkpoint=tmp_path / "c.safetensors")


def test_a_card_that_needs_clusters_says_which() -> None:
    card = METHODS.get("seal").model_dump()
    with pytest.raises(ValueError, match="says which"):
        type(METHODS.get("seal")).model_validate({**card, "clusters": ""})
    with pytest.raises(ValueError, match="says which"):
        type(METHODS.get("seal")).model_validate({**card, "needs": ()})

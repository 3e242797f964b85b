"""The clusters stage on clouds whose clusters are known: a plane, boxes, one of which moves."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lima_bench.common.errors import UserError
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.clusters.build import build_clusters
from lima_bench.lima.clusters.ground import fit_ground, ground_mask
from lima_bench.lima.clusters.kinds import cluster_facts
from lima_bench.lima.clusters.pseudo_instances import moving_points, pseudo_instances
from lima_bench.lima.clusters.segments import segment_labels
from lima_bench.lima.clusters.store import Clusters, Entry, write_clusters
from lima_bench.lima.recipes import (
    ClusterSettings,
    GroundSettings,
    InstanceSettings,
    SegmentSettings,
)
from tests.lima.scenes import BOX_POINTS, PLACES, box, plane, recording, three_boxes

N_GROUND = len(plane())
GROUND, SEGMENTS, INSTANCES = GroundSettings(), SegmentSettings(), InstanceSettings()
NOTHING = np.zeros((0, 3), dtype=np.float32)


def placed(world):
    return PlacedCloud(world.astype(np.float32), np.eye(4))


def of_boxes(labels):
    """The labels of each box's points, which follow those of the ground."""
    return np.split(labels[N_GROUND:], len(labels[N_GROUND:]) // BOX_POINTS)


def test_the_ground_is_the_level_plane_with_most_points():
    world = three_boxes()
    found = fit_ground(world, GROUND, seed=1)
    assert abs(found.normal[2]) == pytest.approx(1) and found.offset == pytest.approx(0)
    assert ground_mask(world, GROUND, seed=1).tolist() == (world[:, 2] <= 0.25).tolist()


def test_a_wall_is_no_ground():
    wall = np.random.default_rng(0).uniform((0, 0, 0), (0.01, 9, 9), (2000, 3))
    floor = np.random.default_rng(1).uniform((0, 0, 0), (9, 9, 0.01), (1000, 3))
    mask = ground_mask(np.concatenate([wall, floor]).astype(np.float32), GROUND, seed=1)
    assert mask[2000:].mean() > 0.9 and mask[:2000].mean() < 0.1
    assert not ground_mask(wall[:, [0, 0, 2]].astype(np.float32), GROUND, seed=1).any()


def test_ground_depends_on_its_seed_alone():
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    one, again, other = (fit_ground(points, GROUND, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.normal, again.normal)
    assert not np.array_equal(one.normal, other.normal)


@pytest.mark.parametrize("n_points", [0, 1, 2, 3])
def test_next_to_nothing_has_no_ground_and_no_clusters(n_points):
    points = np.ones((n_points, 3), dtype=np.float32)
    assert not ground_mask(points, GROUND, seed=0).any()
    scan, no_ground = placed(points), np.zeros(n_points, dtype=bool)
    assert segment_labels([scan, scan], [no_ground] * 2, SEGMENTS).tolist() == [-1] * 2 * n_points
    assert pseudo_instances(scan, no_ground, [scan], INSTANCES).tolist() == [-1] * n_points


def test_segments_are_the_boxes_in_both_scans(tmp_path):
    """Two poses, three still boxes: each box is one segment, the same at both times."""
    source = recording([three_boxes(), three_boxes()])
    store = build_clusters(source, "segments", ClusterSettings(), tmp_path / "store")
    sizes = [N_GROUND + 3 * BOX_POINTS] * 2
    now, then = store.lookup(["drive/0", "drive/1"], sizes)
    for labels in (now, then):
        assert (labels[:N_GROUND] == -1).all()
    groups = [np.unique(labels) for labels in of_boxes(now)]
    assert sorted(np.concatenate(groups).tolist()) == [0, 1, 2]
    assert [g.tolist() for g in groups] == [np.unique(x).tolist() for x in of_boxes(then)]


def test_a_moved_box_is_a_segment_of_each_time():
    still, before, after = box(PLACES[0]), box(PLACES[1]), box((0.0, 1.0))
    scans = [placed(np.concatenate([still, moved])) for moved in (before, after)]
    no_ground = [np.zeros(2 * BOX_POINTS, dtype=bool)] * 2
    labels = segment_labels(scans, no_ground, SEGMENTS).reshape(4, BOX_POINTS)
    assert (labels == labels[:, :1]).all()
    first = labels[:, 0].tolist()
    assert first[0] == first[2] and len({first[0], first[1], first[3]}) == 3


def test_the_last_frame_goes_with_the_one_before(tmp_path):
    source = recording([three_boxes()] * 3)
    store = build_clusters(source, "segments", ClusterSettings(), tmp_path / "store")
    n_points = N_GROUND + 3 * BOX_POINTS
    assert len(store) == 3
    store.lookup(["drive/2", "drive/1"], [n_points] * 2)
    with pytest.raises(UserError, match="were built over"):
        store.lookup(["drive/2", "drive/2"], [n_points] * 2)


def test_a_recording_of_one_frame_is_its_own_company(tmp_path):
    source = recording([three_boxes()])
    store = build_clusters(source, "segments", ClusterSettings(), tmp_path / "store")
    one, two = store.lookup(["drive/0"] * 2, [N_GROUND + 3 * BOX_POINTS] * 2)
    assert one.max() == 2 and np.array_equal(one, two)


def test_a_box_that_moves_ranks_first(tmp_path):
    """Three boxes; the last one, in file order, is elsewhere half a second before and after."""
    still = np.concatenate([plane(), box(PLACES[0]), box(PLACES[1])])
    worlds = [np.concatenate([still, box((6.0, y))]) for y in (-6.0, -3.0, 0.0)]
    store = build_clusters(
        recording(worlds), "pseudo_instances", ClusterSettings(), tmp_path / "store"
    )
    sizes = [N_GROUND + 3 * BOX_POINTS]
    (labels,) = store.lookup(["drive/1"], sizes)
    assert (labels[:N_GROUND] == -1).all()
    assert [np.unique(x).tolist() for x in of_boxes(labels)] == [[1], [2], [0]]
    (alone,) = build_clusters(
        recording(worlds[:1]), "pseudo_instances", ClusterSettings(), tmp_path / "alone"
    ).lookup(["drive/0"], sizes)
    assert [np.unique(x).tolist() for x in of_boxes(alone)] == [[0], [1], [2]]


def test_what_moves_is_far_from_every_other_time():
    scan = placed(np.array([[0.0, 0, 0], [5, 0, 0], [9, 0, 0]]))
    before, after = placed(np.array([[0.2, 0, 0]])), placed(np.array([[5.2, 0, 0]]))
    assert moving_points(scan, [before, after], 0.3).tolist() == [False, False, True]
    assert moving_points(scan, [before], 0.3).tolist() == [False, True, True]
    assert moving_points(scan, [], 0.3).tolist() == [False] * 3
    assert moving_points(scan, [placed(NOTHING)], 0.3).all()


def test_instances_are_bounded_in_size_and_number():
    small, large = box((0, 0), edge_m=0.5), box((6, 0), edge_m=2.0)
    scan = placed(np.concatenate([small, large, box((-6, 0))]))
    none = np.zeros(len(scan.xyz), dtype=bool)
    settings = InstanceSettings(smallest=len(small) + 1, largest=len(large) - 1)
    labels = pseudo_instances(scan, none, [], settings)
    assert np.unique(labels[: len(small) + len(large)]).tolist() == [-1]
    assert np.unique(labels[len(small) + len(large) :]).tolist() == [0]
    larger_first = pseudo_instances(scan, none, [], InstanceSettings(most=2))
    assert larger_first[0] == -1 and larger_first[len(small)] == 0 and larger_first[-1] == 1


def test_the_number_of_processes_changes_nothing(tmp_path):
    rng = np.random.default_rng(0)
    worlds = [np.concatenate([three_boxes(), rng.uniform(-9, 9, (99, 3))]) for _ in range(3)]
    source = recording([*worlds, NOTHING, NOTHING[:1]])
    calls = []
    one, two = (
        build_clusters(
            source,
            "segments",
            ClusterSettings(),
            tmp_path / str(processes),
            lambda *done: calls.append(done),
            processes=processes,
        )
        for processes in (1, 2)
    )
    for name in ("labels.bin", "index.json"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert calls == [(n, 5) for n in range(6)] * 2


def test_a_store_is_kept_and_travels_as_its_folder(tmp_path):
    source = recording([three_boxes()])
    made = build_clusters(source, "segments", ClusterSettings(), tmp_path / "store")
    made.lookup(["drive/0"] * 2, [N_GROUND + 3 * BOX_POINTS] * 2)
    assert len(pickle.dumps(made)) < 500
    assert pickle.loads(pickle.dumps(made)).facts["kind"] == "segments"
    broken = replace(source, load=None)  # nothing is loaded a second time
    assert len(build_clusters(broken, "segments", ClusterSettings(), made.folder)) == 1


def test_nothing_is_left_of_a_build_that_fails(tmp_path):
    source = recording([three_boxes()] * 2)

    def lost(frame):
        return replace(source.load(frame), lidar_to_global=None)

    with pytest.raises(UserError, match="no pose"):
        build_clusters(
            replace(source, load=lost), "segments", ClusterSettings(), tmp_path / "store"
        )
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(tmp_path):
    labels = np.arange(5, dtype=np.int64)
    store = write_clusters(tmp_path / "store", iter([Entry(("a",), (labels,))]), {"kind": "x"})
    assert store.lookup(["a"], [5])[0].tolist() == [0, 1, 2, 3, 4]
    for frames, sizes, what in ((["b"], [5], "not cached"), (["a"], [4], "were built over")):
        with pytest.raises(UserError, match=what):
            store.lookup(frames, sizes)
    (store.folder / "labels.bin").write_bytes(b"123")
    with pytest.raises(UserError, match="3 bytes, expected 10"):
        Clusters(store.folder).lookup(["a"], [5])
    with pytest.raises(UserError, match="Nothing is cached here"):
        Clusters(tmp_path / "nowhere").lookup(["a"], [5])


def test_sixteen_bits_must_do(tmp_path):
    with pytest.raises(ValueError, match="40001 clusters"):
        write_clusters(
            tmp_path / "store", iter([Entry(("a",), (np.array([40000]),))]), {"kind": "x"}
        )
    assert not (tmp_path / "store").exists()


def test_what_a_key_holds():
    settings = ClusterSettings().model_dump(mode="json")
    facts = cluster_facts("segments", settings)
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts["settings"]) == {"ground", "segments"}
    assert facts["scans"]["offsets"] == [1]
    other = {**settings, "pseudo_instances": None}
    assert cluster_facts("segments", other) == facts


def test_a_real_scan_has_ground_and_instances(samples):
    (path,) = (samples / "nuscenes/frame_ca9a282c/samples/LIDAR_TOP").glob("*.bin")
    points = np.fromfile(path, "<f4").reshape(-1, 5)[:, :3]
    plane_found = fit_ground(points, GROUND, seed=0)
    ground = plane_found.near(points, GROUND.distance_m)
    height_m = abs(plane_found.offset)
    assert 0.4 < ground.mean() < 0.5 and 1.6 < height_m < 2.0  # the sensor stands 1.84 m high
    labels = pseudo_instances(PlacedCloud(points, np.eye(4)), ground, [], INSTANCES)
    assert labels.max() + 1 == INSTANCES.most
    assert (labels[ground] == -1).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"ground": {"tries": 0}},
        {"ground": {"distance_m": -1}},
        {"ground": {"tilt_deg": 91}},
        {"segments": {"min_samples": 0}},
        {"pseudo_instances": {"radius_m": 0}},
        {"pseudo_instances": {"smallest": 20, "largest": 10}},
        {"pseudo_instances": {"most": 0}},
    ],
    ids=str,
)
def test_settings_that_can_find_nothing_are_refused(settings):
    with pytest.raises(ValidationError):
        ClusterSettings.model_validate(settings)

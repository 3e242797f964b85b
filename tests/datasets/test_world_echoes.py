"""Second returns and points on their beams: what formats with range images need of the world."""

from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.waymo.expedition import BOULEVARDS, waymo_rig
from lima_bench.datasets.world.drives import WaymoDrive
from lima_bench.datasets.world.echoes import DIMMED
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.lidar import spin
from lima_bench.datasets.world.recording import LidarScan
from lima_bench.datasets.world.scene import Instant, draw_scene

RIG = waymo_rig(WaymoDrive(azimuths=240, side_azimuths=40, side_beams=20))


@pytest.fixture(scope="module")
def instants() -> list[Instant]:
    return [
        draw_scene(derive_seed(i, "echoes"), BOULEVARDS, (-0.1, 0.2), all_classes=False).at(0.1)
        for i in range(4)
    ]


def along_beams(scan: LidarScan) -> tuple[np.ndarray, np.ndarray]:
    """Points in the spinning frame at their column's time, and unit vectors of their beams."""
    now = scan.ego_to_global @ scan.lidar_to_ego
    then = inverse(scan.beams.ego_to_global @ scan.beams.spin_to_ego)[scan.column] @ now
    points = np.einsum("nij,nj->ni", then[:, :3, :3], scan.points.astype(float)) + then[:, :3, 3]
    up, round_ = scan.beams.elevations_rad[scan.ring], scan.beams.azimuths_rad[scan.column]
    level = np.cos(up)
    return points, np.stack([level * np.cos(round_), level * np.sin(round_), np.sin(up)], axis=1)


@pytest.mark.parametrize("number", range(5))
def test_points_lie_on_their_beams(instants: list[Instant], number: int) -> None:
    mount = (RIG.lidar, *RIG.more_lidars)[number]
    for now in instants:
        points, ways = along_beams(spin(now, mount, 0).scan)
        ranges = np.linalg.norm(points, axis=1)
        assert ranges.min() > 0  # airborne dirt may be anywhere on a beam
        assert np.abs(points - ranges[:, None] * ways).max() < 2e-5


def test_second_returns_come_from_leaves_and_edges(instants: list[Instant]) -> None:
    seconds = firsts = leafy = 0
    for now in instants:
        scan = spin(now, RIG.lidar, 0).scan
        points, _ = along_beams(scan)
        ranges = np.linalg.norm(points, axis=1)
        place = scan.ring * 10_000 + scan.column
        n_first = int((~scan.second).sum())
        assert not scan.second[:n_first].any() and scan.second[n_first:].all()
        first = {int(p): i for i, p in enumerate(place[:n_first])}
        assert len(first) == n_first and len(set(place[n_first:].tolist())) == len(place) - n_first
        before = np.array([first[int(p)] for p in place[n_first:]])
        assert (ranges[n_first:] > ranges[before] + 0.05).all()
        # The ground alone never gives two.
        ground = [Label.ROAD, Label.SIDEWALK, Label.TERRAIN, Label.LANE_MARKING]
        assert not np.isin(scan.label[before], ground).any()
        leafy += int((scan.label[before] == Label.VEGETATION).sum())
        seconds, firsts = seconds + len(before), firsts + n_first
    assert 0.003 < seconds / firsts < 0.2
    assert 0 < leafy < seconds


def test_second_returns_are_dimmer(instants: list[Instant]) -> None:
    scans = [spin(now, RIG.lidar, 0).scan for now in instants]
    first, second = (
        np.concatenate([scan.intensity[scan.second == is_second] for scan in scans])
        for is_second in (False, True)
    )
    assert second.max() <= DIMMED < first.max()


def test_first_returns_do_not_depend_on_second_ones(instants: list[Instant]) -> None:
    two, one = RIG.lidar, replace(RIG.lidar, two_returns=False)
    both, single = spin(instants[0], two, 0).scan, spin(instants[0], one, 0).scan
    assert single.second is None
    for name in ("points", "label", "intensity", "ring", "column"):
        ours = getattr(both, name)[~both.second]
        np.testing.assert_array_equal(ours, getattr(single, name))


def test_lidars_of_one_rig_have_noise_of_their_own(instants: list[Instant]) -> None:
    left, right = (
        spin(instants[0], replace(RIG.lidar, noise=noise), 0).scan.points for noise in ("a", "b")
    )
    assert left.shape != right.shape or not np.array_equal(left, right)

"""The eight corruptions: their physics against independent formulas, their rules by counting."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, integrate

from lima_bench.common.errors import UserError
from lima_bench.datasets.corruptions import (
    beam_missing,
    cross_sensor,
    crosstalk,
    fog,
    incomplete_echo,
    motion_blur,
    particles,
    snow,
    wet_ground,
)
from lima_bench.datasets.corruptions.frame import RawFrame
from lima_bench.datasets.corruptions.table import (
    CORRUPTIONS,
    LEVEL_NAMES,
    NAMES,
    corrupted,
    noise_of,
)
from lima_bench.datasets.scans import read_scan

HEIGHT_M = 1.84
CAR, BICYCLE, BUS, ROAD, TREE = 17, 14, 16, 24, 30


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def frame() -> RawFrame:
    """A turn of 32 beams over a flat road, with a wall of cars, a few cycles and trees above."""
    columns = 400
    elevation = np.radians(np.tile(np.linspace(-30.67, 10.67, 32), columns))
    azimuth = np.repeat(2 * np.pi * np.arange(columns) / columns, 32)
    ring = np.tile(np.arange(32), columns)
    noise = rng(1)
    reach = noise.uniform(8, 50, len(ring))
    to_ground = np.where(elevation < 0, HEIGHT_M / np.maximum(np.sin(-elevation), 1e-3), np.inf)
    ranges = np.minimum(reach, to_ground)
    on_ground = ranges == to_ground
    level = np.cos(elevation)
    points = np.column_stack([level * np.sin(azimuth), level * np.cos(azimuth), np.sin(elevation)])
    labels = np.where(on_ground, ROAD, np.where(points[:, 2] > 0, TREE, CAR))
    labels[np.flatnonzero(labels == CAR)[:10]] = BICYCLE
    labels[np.flatnonzero(labels == CAR)[:11]] = BUS
    cosine = np.where(on_ground, HEIGHT_M / ranges, 1.0)
    intensity = np.rint(noise.uniform(60, 120, len(ring)) * cosine)
    made = RawFrame((points * ranges[:, None]).astype("f4"), intensity.astype("f4"), ring, labels)
    made.intensity[np.flatnonzero(labels == TREE)[::20]] = 0
    for array in (made.points, made.intensity, made.ring, made.labels):
        array.flags.writeable = False  # a corruption that wrote here would not be pure
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_every_corruption_gives_a_frame(frame: RawFrame, name: str, level: str) -> None:
    once = corrupted(frame, name, level, noise_of(0, name, level, "a"))
    again = corrupted(frame, name, level, noise_of(0, name, level, "a"))
    other = corrupted(frame, name, level, noise_of(0, name, level, "b"))
    np.testing.assert_array_equal(once.rows, again.rows)
    np.testing.assert_array_equal(once.labels, again.labels)
    assert once.points.dtype == once.intensity.dtype == np.float32
    assert len(once.points) == len(once.intensity) == len(once.ring) == len(once.labels) > 0
    assert np.isfinite(once.rows).all() and once.rows.shape[1] == 5
    assert not np.array_equal(once.rows, frame.rows)
    chance = name not in ("wet_ground", "cross_sensor")
    assert np.array_equal(once.rows, other.rows) is not chance
    added = {"fog": {41}, "snow": {42}, "crosstalk": {43}}.get(name, set())
    assert set(once.labels.tolist()) - set(frame.labels.tolist()) == added


def test_names_that_do_not_exist(frame: RawFrame) -> None:
    with pytest.raises(UserError, match='Did you mean "snow"'):
        corrupted(frame, "snwo", "light", rng())
    with pytest.raises(UserError, match='Did you mean "heavy"'):
        corrupted(frame, "snow", "heavyy", rng())
    assert [tuple(kind.levels) for kind in CORRUPTIONS.values()] == [LEVEL_NAMES] * 8


# --- fog


@pytest.mark.parametrize("attenuation", [0.0, 0.02, 0.06])
def test_fog_echo_equals_the_integral(attenuation: float) -> None:
    distances, integrals = fog._soft_echo(attenuation)

    def response(time: float, at_m: float) -> float:
        r = at_m - constants.c * time / 2
        seen = min(max((r - 0.9) / 0.1, 0.0), 1.0)
        if seen == 0.0:
            return 0.0
        pulse = math.sin(math.pi * time / 40e-9) ** 2
        return pulse * seen * math.exp(-2 * attenuation * r) / r**2

    def echo(at_m: float) -> float:
        ends = [(at_m - r) * 2 / constants.c for r in (0.9, 1.0) if r < at_m]
        return integrate.quad(response, 0, 40e-9, (at_m,), points=sorted(ends), limit=200)[0]

    for target_m in (2.0, 3.5, 30.0):
        best = max(echo(r) for r in np.arange(0.9, target_m + 1e-9, 0.1))
        assert integrals[round(target_m * 10)] == pytest.approx(best, rel=0.01)
    assert echo(distances[300]) == pytest.approx(integrals[300], rel=0.01)
    assert 3.5 < distances[300] < 5.5 and (np.diff(integrals) >= 0).all()


def test_fog_dims_by_the_way_there_and_back() -> None:
    ranges, intensity = np.array([5.0, 20.0, 80.0]), np.array([100, 200, 255], dtype="f4")
    seen = fog.veil(ranges, intensity, 0.02, 0.0, rng())
    np.testing.assert_array_equal(seen.intensity, np.rint(intensity * np.exp(-0.04 * ranges)))
    assert not seen.is_fog.any()
    np.testing.assert_array_equal(seen.ranges_m, ranges)
    clear = fog.veil(ranges, intensity, 0.0, 0.0, rng())
    np.testing.assert_array_equal(clear.intensity, intensity)


def test_fog_outshines_what_is_far() -> None:
    ranges = np.linspace(2, 100, 500)
    shares = [
        fog.veil(ranges, np.full(500, 50, "f4"), 0.02, level.backscatter, rng()).is_fog
        for level in fog.LEVELS.values()
    ]
    for hidden in shares:
        first = np.flatnonzero(hidden)[0]
        assert hidden[first:].all()  # a wall: nothing is seen behind it
    assert shares[0].sum() < shares[1].sum() < shares[2].sum()
    thick = fog.veil(ranges, np.full(500, 50, "f4"), 0.06, 0.2, rng())
    assert thick.ranges_m[thick.is_fog].max() < 12 and thick.intensity.max() <= 255


def test_fog_stays_on_its_beam(frame: RawFrame) -> None:
    result = fog.corrupt(frame, fog.LEVELS["heavy"], rng())
    veiled = result.labels == 41
    assert 0.1 < veiled.mean() < 1
    np.testing.assert_array_equal(result.points[~veiled], frame.points[~veiled])
    np.testing.assert_array_equal(result.ring, frame.ring)
    cosine = (result.points * frame.points).sum(1) / result.ranges_m / frame.ranges_m
    np.testing.assert_allclose(cosine, 1, atol=1e-5)


# --- snow


def test_flakes_are_as_many_and_as_large_as_published() -> None:
    """Occupied shares and rain rates stand in the names of the authors' files of flakes."""
    published = {
        "light": (2.2383844962893775, 6.944444444444445e-07),
        "moderate": (8.847991609353935, 1.7361111111111108e-06),
        "heavy": (34.97475775452152, 4.340277777777777e-06),
    }
    for name, (rain_mm_h, occupied) in published.items():
        flakes = snow.snowfall(snow.LEVELS[name])
        mean_m = 0.01 / (25.5 * rain_mm_h**-0.48)
        assert flakes.mean_diameter_m == pytest.approx(mean_m)
        assert flakes.per_m2 * math.pi * mean_m**2 / 3 == pytest.approx(occupied)


def test_discs_hide_what_optical_depth_says() -> None:
    """Mean hidden share of a beam = discs per area x their mean width x length."""
    flakes = particles.Particles(2.0, 0.002, 0.02, 0.9)
    ranges = np.repeat([5.0, 30.0], 20_000)
    discs = particles._drawn(ranges, flakes, rng())
    hidden = np.bincount(discs.beam, discs.hides, len(ranges))
    width_m = 0.002 * math.pi / 4
    for reach in (5.0, 30.0):
        assert hidden[ranges == reach].mean() == pytest.approx(2.0 * width_m * reach, rel=0.05)
    assert (discs.range_m <= ranges[discs.beam]).all() and (np.diff(discs.beam) >= 0).all()
    assert np.array_equal(np.lexsort((discs.range_m, discs.beam)), np.arange(len(discs.beam)))


def test_strongest_pulse_tells_the_distance() -> None:
    beam = np.array([4, 9, 9, 12, 12])
    start, power = np.array([20.0, 10.0, 30.0, 8.0, 8.5]), np.array([50.0, 7.0, 9.0, 10.0, 10.0])
    place, height = particles._strongest(beam, start, power, np.array([4, 9, 12]))
    np.testing.assert_allclose(place, [20, 30, 8.25], atol=0.06)  # two near pulses melt into one
    np.testing.assert_allclose(height, [50, 9, 20 * np.sin(np.pi * 1.25 / 3) ** 2 * 1.0], rtol=0.08)
    assert height[2] > 15


def test_clear_air_changes_nothing() -> None:
    ranges, intensity = np.linspace(1, 90, 300), rng(3).uniform(0, 255, 300).astype("f4")
    seen = particles.echoes(ranges, intensity, particles.Particles(0.0, 0.002, 0.02, 0.9), rng())
    np.testing.assert_array_equal(seen.ranges_m, ranges)
    np.testing.assert_array_equal(seen.intensity, intensity)
    assert (seen.state == particles.UNTOUCHED).all()


def test_snow_takes_the_place_of_the_ring(frame: RawFrame) -> None:
    result = snow.corrupt(frame, snow.LEVELS["light"], rng())
    assert set(np.unique(result.ring)) == {0, 1, 2}
    np.testing.assert_array_equal(result.labels == 42, result.ring == particles.SCATTERED)
    assert len(result.labels) < len(frame.labels)  # what is too dim is gone
    untouched = result.ring == particles.UNTOUCHED
    known = {row.tobytes() for row in frame.rows[:, :4]}
    assert all(row.tobytes() in known for row in result.rows[untouched, :4])
    assert result.intensity.min() >= 0 and result.intensity.max() <= 255


def test_snow_without_ground_loses_nothing(frame: RawFrame) -> None:
    bare = frame.kept(~frame.ground)
    assert len(snow.corrupt(bare, snow.LEVELS["heavy"], rng()).labels) == len(bare.labels)


# --- wet ground


def test_light_through_water() -> None:
    ratio = 1.33 / 1.0003
    straight = ((ratio - 1) / (ratio + 1)) ** 2
    back = wet_ground._through_water(np.array([0.0]), np.array([1.0]))
    np.testing.assert_allclose(back, 1 - straight)  # all that gets in gets out again
    brewster = np.array([math.atan(ratio)])
    np.testing.assert_allclose(wet_ground._through_water(brewster, np.array([0.3])), 0.3)
    grazing = wet_ground._through_water(np.radians([80.0, 88.0, 89.9]), np.full(3, 0.3))
    assert (np.diff(grazing) < 0).all() and grazing[-1] < 0.01


def test_wet_ground_touches_ground_alone(frame: RawFrame) -> None:
    counts = []
    for level in wet_ground.LEVELS.values():
        kept, intensity = wet_ground.wetted(frame.points, frame.intensity, frame.ground, level)
        assert kept[~frame.ground].all()
        np.testing.assert_array_equal(intensity[~frame.ground], frame.intensity[~frame.ground])
        assert (intensity <= frame.intensity).all()
        counts.append((int(kept.sum()), float(intensity[frame.ground].mean())))
    assert counts[0][1] > counts[1][1] > counts[2][1]
    assert len(frame.labels) >= counts[0][0] >= counts[1][0] > counts[2][0]
    result = wet_ground.corrupt(frame, wet_ground.LEVELS["heavy"], rng())
    assert len(result.labels) == counts[2][0]


# --- sensor and motion


def test_motion_blur_shifts_all_and_jitters_each(frame: RawFrame) -> None:
    deviation = 0.4
    moved = motion_blur.corrupt(frame, motion_blur.LEVELS["heavy"], rng()).points - frame.points
    np.testing.assert_allclose(moved.std(axis=0), deviation * np.array([0.1, 0.1, 0.05]), rtol=0.05)
    shifts = np.array([
        (motion_blur.corrupt(frame, motion_blur.LEVELS["heavy"], rng(s)).points - frame.points)
        .mean(axis=0) for s in range(60)
    ])  # fmt: skip
    np.testing.assert_allclose(shifts.std(axis=0), deviation, rtol=0.3)


def test_beams_are_drawn_with_replacement(frame: RawFrame) -> None:
    lost = []
    for seed in range(30):
        result = beam_missing.corrupt(frame, beam_missing.LEVELS["heavy"], rng(seed))
        gone = set(range(32)) - set(result.ring.tolist())
        assert gone <= set(range(2, 29))
        assert len(result.labels) == np.isin(frame.ring, list(set(range(32)) - gone)).sum()
        lost.append(len(gone))
    expected = 27 * (1 - (26 / 27) ** 24)  # 24 draws hit about 16 of 27 rings
    assert np.mean(lost) == pytest.approx(expected, abs=1) and max(lost) < 24


def test_crosstalk_is_a_share_of_noise(frame: RawFrame) -> None:
    for level, share in (("light", 0.03), ("moderate", 0.07), ("heavy", 0.12)):
        result = crosstalk.corrupt(frame, crosstalk.LEVELS[level], rng())
        hit = result.labels == 43
        assert hit.sum() == int(share * len(frame.labels))
        np.testing.assert_array_equal(result.rows[~hit], frame.rows[~hit])
        np.testing.assert_array_equal(result.ring, frame.ring)
        added = (result.rows - frame.rows)[hit, :4]
        np.testing.assert_allclose(added.std(axis=0), 3.0, rtol=0.15)


def test_incomplete_echo_counts_by_class(frame: RawFrame) -> None:
    for level, share in (("light", 0.75), ("moderate", 0.85), ("heavy", 0.95)):
        result = incomplete_echo.corrupt(frame, incomplete_echo.LEVELS[level], rng())
        for raw in (CAR, BUS):
            before = int((frame.labels == raw).sum())
            assert (result.labels == raw).sum() == before - int(share * before)
        for raw in (ROAD, TREE, BICYCLE):  # ten points are spared, eleven are not
            assert (result.labels == raw).sum() == (frame.labels == raw).sum()


def test_bendy_and_rigid_buses_are_one_class() -> None:
    labels = np.array([15] * 6 + [16] * 6)
    bus = RawFrame(np.ones((12, 3), "f4"), np.ones(12, "f4"), np.zeros(12, int), labels)
    assert len(incomplete_echo.corrupt(bus, incomplete_echo.LEVELS["light"], rng()).labels) == 3


def test_cross_sensor_combs_rings_and_columns(frame: RawFrame) -> None:
    lost = {name: set(level.lost) for name, level in cross_sensor.LEVELS.items()}
    assert lost["light"] == {1, 5, 9, 13, 17, 21, 25, 29}
    assert lost["moderate"] == set(range(1, 32, 2))
    assert lost["heavy"] == {1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20, 22, 23, 24,
                             26, 27, 28, 30, 31}  # fmt: skip
    result = cross_sensor.corrupt(frame, cross_sensor.LEVELS["heavy"], rng())
    rest = ~np.isin(frame.ring, list(lost["heavy"]))
    np.testing.assert_array_equal(result.rows, frame.rows[rest][::2])


# --- a real frame


def test_real_recording(samples: Path) -> None:
    """A nuScenes keyframe under all 24; it has no lidarseg, so labels are made from heights."""
    folder = samples / "nuscenes/frame_ca9a282c/samples/LIDAR_TOP"
    rows = read_scan(next(folder.glob("*.pcd.bin")), 5)
    flat = np.hypot(rows[:, 0], rows[:, 1])
    ground = np.abs(rows[:, 2] + HEIGHT_M) < 0.25
    above = np.where(rows[:, 2] > 0, TREE, CAR)
    labels = np.where(flat < 2.5, 31, np.where(ground, ROAD, above))
    clean = RawFrame.of(rows, labels)
    assert len(clean.labels) == 34_688
    np.testing.assert_array_equal(clean.rows, rows)
    left = {}
    for name in NAMES:
        for level in LEVEL_NAMES:
            result = corrupted(clean, name, level, noise_of(0, name, level, "ca9a282c"))
            assert np.isfinite(result.rows).all()
            left[name, level] = len(result.labels)
    for name in ("fog", "motion_blur", "crosstalk"):
        assert {left[name, level] for level in LEVEL_NAMES} == {34_688}
    assert [left["cross_sensor", level] for level in LEVEL_NAMES] == [13_008, 8_672, 4_336]
    cars = int((labels == CAR).sum())
    assert left["incomplete_echo", "heavy"] == 34_688 - int(0.95 * cars)
    wet = [left["wet_ground", level] for level in LEVEL_NAMES]
    assert 34_688 >= wet[0] >= wet[1] >= wet[2] > 33_000
    assert all(30_000 < left["snow", level] < 34_688 for level in LEVEL_NAMES)

"""What hangs in the air of the world: labels, beams and bits of disturbed scans."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.world.air import AIRS, disturbed
from lima_bench.datasets.world.drive import record
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.datasets.world.spec import WorldSpec

IN_AIR = {"dense_fog": Label.FOG, "light_fog": Label.FOG, "snow": Label.SNOW, "rain": Label.RAIN}


@pytest.fixture(scope="module")
def clear() -> LidarScan:
    """A street in clear air, as a 64-beam sensor sees it."""
    spec = WorldSpec()
    expedition = expedition_of(spec, "semanticstf")
    return record(spec, expedition, replace(expedition.trips[0], air="")).moments[0].scan


def direction(scan: LidarScan) -> np.ndarray:
    return scan.points / np.linalg.norm(scan.points, axis=1, keepdims=True)


@pytest.mark.parametrize("air", AIRS)
def test_returns_from_the_air_belong_to_nothing(clear: LidarScan, air: str) -> None:
    scan = disturbed(clear, air, np.random.default_rng(0))
    again = disturbed(clear, air, np.random.default_rng(0))
    np.testing.assert_array_equal(scan.points, again.points)
    from_air = scan.label == IN_AIR[air]
    assert 0.01 < from_air.mean() < 0.7
    assert not scan.moving[from_air].any() and not scan.instance[from_air].any()
    assert set(scan.label[~from_air].tolist()) <= set(clear.label.tolist())
    assert 0.5 * len(clear.points) < len(scan.points) <= len(clear.points)
    assert scan.points.dtype == scan.intensity.dtype == np.float32
    assert scan.intensity.min() >= 0 and scan.intensity.max() <= 1
    # Every return lies on a beam that met something in clear air, and beams stay in order.
    key = clear.column * 64 + clear.ring
    place = np.searchsorted(key, scan.column * 64 + scan.ring)
    assert (np.diff(key) > 0).all() and (np.diff(place) > 0).all()
    np.testing.assert_allclose((direction(scan) * direction(clear)[place]).sum(1), 1, atol=1e-5)


def test_denser_fog_hides_more(clear: LidarScan) -> None:
    far = {}
    for air in ("light_fog", "dense_fog"):
        scan = disturbed(clear, air, np.random.default_rng(0))
        street = scan.label != Label.FOG
        far[air] = np.linalg.norm(scan.points[street], axis=1).max()
    assert 10 < far["dense_fog"] < far["light_fog"] < 60


def test_rain_dims_the_road_alone(clear: LidarScan) -> None:
    def brightness(scan: LidarScan, labels: tuple[Label, ...]) -> float:
        near = np.linalg.norm(scan.points, axis=1) < 25
        return float(scan.intensity[np.isin(scan.label, labels) & near].mean())

    wet = disturbed(clear, "rain", np.random.default_rng(0))
    road, house = (Label.ROAD,), (Label.BUILDING, Label.CAR)
    assert brightness(wet, road) < 0.9 * brightness(clear, road)
    assert brightness(wet, house) == pytest.approx(brightness(clear, house), rel=0.15)


def test_second_returns_follow(drive: Callable[..., Recording]) -> None:
    scan = drive("x").moments[0].scan
    twice = replace(scan, second=np.arange(len(scan.points)) % 2 == 0)
    changed = disturbed(twice, "dense_fog", np.random.default_rng(0))
    assert changed.second is not None and len(changed.second) == len(changed.points)


def test_air_that_does_not_exist(clear: LidarScan) -> None:
    with pytest.raises(UserError, match='Did you mean "snow"'):
        disturbed(clear, "snwo", np.random.default_rng(0))


def test_clear_trips_are_as_before() -> None:
    """Trips without air draw no random numbers for it: their scans are the sensor's own."""
    spec = WorldSpec()
    expedition = expedition_of(spec, "semanticstf")
    trip = expedition.trips[1]
    foggy = record(spec, expedition, trip)
    clear = record(spec, expedition, replace(trip, air=""))
    assert foggy.air == "light_fog" and clear.air == ""
    assert not np.isin(clear.moments[0].scan.label, [52, 53, 54]).any()
    assert len(foggy.moments[0].scan.points) <= len(clear.moments[0].scan.points)

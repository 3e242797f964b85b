"""Open country: its hills, water and paths, where rays end, and that nothing stands in a pond."""

import math

import numpy as np
import pytest

from lima_bench.datasets.rellis3d.expedition import OFFROAD
from lima_bench.datasets.world.ground import FAR
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.relief import RELIEF, STEEPEST, patch_at
from lima_bench.datasets.world.scene import Scene, draw_scene
from lima_bench.datasets.world.street import CITY, Street, draw_street
from lima_bench.datasets.world.strike import strike
from lima_bench.datasets.world.surface import surface, top
from lima_bench.datasets.world.wild import draw_trail


@pytest.fixture(scope="module", params=range(3))
def trail(request: pytest.FixtureRequest) -> Street:
    return draw_trail(np.random.default_rng(request.param), OFFROAD, 8.0, all_classes=True)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(5, OFFROAD, (-0.05, 1.0), all_classes=True)


def test_streets_have_no_relief() -> None:
    table = draw_street(np.random.default_rng(0), CITY, 20.0, all_classes=True).ground.table
    assert table[STEEPEST] == table[RELIEF] == 0


def test_rays_end_where_they_first_meet_the_ground(trail: Street) -> None:
    """Against small steps: a ray that looks over a hollow must not end behind the hill."""
    table, rng = trail.ground.table, np.random.default_rng(0)
    hits = 0
    for _ in range(150):
        x, y = rng.uniform(-5, 20), rng.uniform(-6, 6)
        o = (x, y, float(top(table, x, y)) + 1.35)
        turn, down = rng.uniform(0, 2 * math.pi), rng.uniform(-0.05, 0.3)
        d = (math.cos(turn), math.sin(turn), -down)
        found, label, _, kerb = strike(table, o, d, 60.0)
        steps = np.arange(0.0, 60.0, 0.05)
        way = np.array(o) + steps[:, None] * np.array(d)
        above = way[:, 2] - trail.heights(way[:, 0].copy(), way[:, 1].copy())
        below = np.flatnonzero(above < 0)
        assert not kerb
        if found >= FAR:
            assert not below.size or steps[below[0]] > 59.0
            continue
        hits += 1
        # A ray that grazes the ground may touch it a little before it dips in.
        first = steps[below[0]] if below.size else 60.0
        assert found < first + 0.06
        end = [o[i] + found * d[i] for i in range(3)]
        assert -0.01 < end[2] - top(table, end[0], end[1]) < 0.0061 + 0.0006 * found
        assert label == surface(table, end[0], end[1])[0][0]
    assert hits > 100


def test_nowhere_is_steeper_than_it_says(trail: Street) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-60, 80, 4000), rng.uniform(-70, 70, 4000)
    turn, step = rng.uniform(0, 2 * math.pi, 4000), 0.05
    ahead = trail.heights(x + step * np.cos(turn), y + step * np.sin(turn))
    rise = np.abs(ahead - trail.heights(x, y)) / step
    assert rise.max() < trail.ground.steepest < 1.0
    assert rise.max() > 0.05  # there are hills


def test_a_trail_has_what_it_must_show(trail: Street) -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-5, 25, 0.25), np.arange(-14, 14, 0.25)))
    found = {surface(trail.ground.table, *place)[0][0] for place in zip(x, y, strict=True)}
    assert found == {
        Label.GRASSLAND,
        Label.MUD,
        Label.PUDDLE,
        Label.WATER,
        Label.CONCRETE_SLAB,
    }


def test_water_is_level_and_lies_low(trail: Street) -> None:
    table = trail.ground.table
    pond = next(row for row in trail.ground.patches if row[7] == Label.WATER)
    x, y = (
        a.ravel()
        for a in np.meshgrid(pond[0] + np.arange(-9, 9, 0.2), pond[1] + np.arange(-9, 9, 0.2))
    )
    wet = np.array(
        [surface(table, *place)[0][0] == Label.WATER for place in zip(x, y, strict=True)]
    )
    levels = trail.heights(x, y)
    assert wet.sum() > 30
    assert np.ptp(levels[wet]) < 1e-9
    assert levels[wet][0] == pytest.approx(pond[6])


def test_nothing_stands_in_a_pond(scene: Scene) -> None:
    ground = scene.street.ground
    poses = [t.track.poses(np.zeros(1))[0] for t in scene.things if not t.moving]
    assert len(poses) > 100
    under = {patch_at(ground.table, pose[0], pose[1], ground.seed) for pose in poses}
    assert Label.WATER not in under


def test_everything_stands_on_the_ground(scene: Scene) -> None:
    poses = np.stack([thing.track.poses(np.array([0.5]))[0] for thing in scene.things])
    heights = scene.street.heights(poses[:, 0].copy(), poses[:, 1].copy())
    np.testing.assert_allclose(poses[:, 2], heights, atol=1e-6)


def test_the_vehicle_leans_with_the_slope(scene: Scene) -> None:
    pose = scene.ego_to_town(0.5)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
    step = 1.0
    for axis in (0, 1):
        ahead = pose[:3, 3] + step * pose[:3, axis]
        assert ahead[2] == pytest.approx(top(scene.street.ground.table, *ahead[:2]), abs=0.12)


def test_other_places_are_not_forced() -> None:
    """Without the floor some places lack water, vehicles or people."""
    labels = []
    for seed in range(6):
        things = draw_scene(seed, OFFROAD, (-0.05, 0.1), all_classes=False).things
        labels.append({thing.model.label for thing in things})
    assert all({Label.VEGETATION, Label.BUSH, Label.GRASSLAND} <= some for some in labels)
    assert any(Label.RUBBLE not in some for some in labels)
    assert any(Label.RUBBLE in some or Label.LOG in some for some in labels)

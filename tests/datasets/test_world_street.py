"""The ground of streets, and that nothing in them shares ground."""

import math

import numpy as np
import pytest

from lima_bench.datasets.world.claims import Claims, overlap
from lima_bench.datasets.world.ground import FAR, KERB_M
from lima_bench.datasets.world.kerbs import kerb_distance
from lima_bench.datasets.world.labels import IS_OBJECT, Label
from lima_bench.datasets.world.plan import EGO_SIZE
from lima_bench.datasets.world.scene import Scene, draw_scene
from lima_bench.datasets.world.street import CITY, SUBURB, Street, draw_street
from lima_bench.datasets.world.strike import strike
from lima_bench.datasets.world.surface import surface, top

LASTS_S = 3.5


@pytest.fixture(scope="module")
def street() -> Street:
    return draw_street(np.random.default_rng(3), SUBURB, 30.0, all_classes=True)


@pytest.fixture(scope="module", params=[(0, CITY, True), (1, CITY, False), (2, SUBURB, True)])
def scene(request: pytest.FixtureRequest) -> Scene:
    seed, style, all_classes = request.param
    return draw_scene(seed, style, (-0.05, LASTS_S), all_classes=all_classes)


def test_rays_end_on_the_ground(street: Street) -> None:
    table, rng = street.ground.table, np.random.default_rng(0)
    found = set()
    for _ in range(400):
        x, y = rng.uniform(-20, 60), rng.uniform(-15, 15)
        o = (x, y, float(top(table, x, y)) + 1.7)
        turn, down = rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.6)
        d = (math.cos(turn), math.sin(turn), -down)
        t, label, _, kerb_face = strike(table, o, d, 80.0)
        if t >= FAR:
            continue
        px, py, pz = (o[i] + t * d[i] for i in range(3))
        found.add((label, kerb_face))
        if kerb_face:
            assert -0.02 < pz - (top(table, px, py) - KERB_M) < KERB_M + 0.05
        else:
            assert pz == pytest.approx(top(table, px, py), abs=0.02)
            assert label == surface(table, px, py)[0][0]
    assert len({label for label, _ in found}) >= 5
    assert any(face for _, face in found)


def test_rays_upwards_miss(street: Street) -> None:
    assert strike(street.ground.table, (0.0, 0.0, 5.0), (1.0, 0.0, 0.2), 100.0)[0] >= FAR


def test_ground_is_flat_as_far_as_it_says(street: Street) -> None:
    table, rng = street.ground.table, np.random.default_rng(1)
    for _ in range(300):
        x, y, turn = rng.uniform(-30, 60), rng.uniform(-12, 12), rng.uniform(0, 2 * math.pi)
        (_, _, raised), even = surface(table, x, y)
        reach = 0.85 * min(even, 3.0)
        px, py = x + reach * math.cos(turn), y + reach * math.sin(turn)
        assert surface(table, px, py)[0][2] == raised


def test_road_lies_inside_the_kerbs(street: Street) -> None:
    table = street.ground.table
    for x in np.arange(-40, 60, 2.0):
        px, py, _, _ = street.beside(float(x), -1.0)
        assert kerb_distance(table, px, py) < 0
        assert surface(table, px, py)[0][0] in (Label.ROAD, Label.LANE_MARKING, Label.OTHER_FLAT)


def test_lanes_are_driven_at_the_speed_that_is_asked(street: Street) -> None:
    poses = street.poses(np.arange(0.0, 30.0, 1.0), 0.0, 1)
    steps = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1)
    np.testing.assert_allclose(steps, 1.0, atol=0.01)
    ahead = np.arctan2(np.diff(poses[:, 1]), np.diff(poses[:, 0]))
    np.testing.assert_allclose(ahead, (poses[1:, 3] + poses[:-1, 3]) / 2, atol=0.01)


def test_overlap_is_that_of_turned_rectangles() -> None:
    rng = np.random.default_rng(5)
    agree = 0
    for _ in range(200):
        a, b = rng.uniform([-2, -2, 0, 0.3, 0.3], [2, 2, 3, 2, 1], (2, 5))
        grid = np.stack(np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40)), -1)
        p = grid.reshape(-1, 2) * a[3:]
        cos, sin = math.cos(a[2]), math.sin(a[2])
        p = a[:2] + p @ np.array([[cos, sin], [-sin, cos]])
        cos, sin = math.cos(b[2]), math.sin(b[2])
        q = (p - b[:2]) @ np.array([[cos, -sin], [sin, cos]])
        sampled = (abs(q) <= b[3:]).all(axis=1).any()
        assert overlap(a, b) or not sampled
        agree += overlap(a, b) == sampled
    assert agree > 190


def test_claims_hold_along_the_whole_way() -> None:
    times = np.linspace(0, 1, 11)
    claims = Claims(times)
    still = np.tile([5.0, 0.0, 0.0, 0.0], (11, 1))
    passing = np.stack([10 * times, 0 * times, 0 * times, 0 * times], axis=1)
    assert claims.take(still, 1.0, 1.0, apart_m=0.0)
    assert not claims.take(passing, 1.0, 1.0, apart_m=0.0)
    assert claims.take(passing + np.array([0, 1.2, 0, 0]), 1.0, 1.0, apart_m=0.0)


def _footprints(scene: Scene, time_s: float) -> list[tuple[str, np.ndarray]]:
    """Rectangles of everything with a body, and of the ego; crowns of trees count by the trunk."""
    boxes = []
    for thing in scene.things:
        x, y, _, yaw = thing.track.poses(np.array([time_s]))[0]
        length, width, _ = thing.model.size
        boxes.append((thing.model.label.name, np.array([x, y, yaw, length / 2, width / 2])))
    x, y, _, yaw = scene.ego.body_poses(np.array([time_s]))[0]
    boxes.append(("EGO", np.array([x, y, yaw, EGO_SIZE[0] / 2, EGO_SIZE[1] / 2])))
    return boxes


@pytest.mark.parametrize("time_s", [0.0, 0.5, 1.7, LASTS_S])
def test_nothing_shares_ground(scene: Scene, time_s: float) -> None:
    boxes = _footprints(scene, time_s)
    for i, (name, a) in enumerate(boxes):
        for other, b in boxes[:i]:
            if np.hypot(*(a[:2] - b[:2])) < 40:
                assert not overlap(a, b), (name, other)


def test_things_stand_on_the_ground(scene: Scene) -> None:
    for time_s in (0.0, 2.0):
        for thing in scene.things:
            x, y, z, _ = thing.track.poses(np.array([time_s]))[0]
            assert z == pytest.approx(top(scene.street.ground.table, x, y), abs=1e-6)


def test_vehicles_drive_on_the_right(scene: Scene) -> None:
    for thing in scene.things:
        if thing.speed_mps > 3 and hasattr(thing.track, "offset_m"):
            assert thing.track.offset_m * thing.track.ahead < 0


def test_parts_lie_in_their_boxes(scene: Scene) -> None:
    """Every part of what gets a box lies in it but for a few centimetres."""
    for thing in scene.things:
        if not IS_OBJECT[thing.model.label]:
            continue
        rows = thing.model.shapes.rows
        cos, sin = abs(rows[:, 3]), abs(rows[:, 4])
        x = abs(rows[:, 0]) + cos * rows[:, 14] + sin * rows[:, 15]
        y = abs(rows[:, 1]) + sin * rows[:, 14] + cos * rows[:, 15]
        length, width, height = thing.model.size
        assert x.max() <= length / 2 + 0.06, thing.model.label
        assert y.max() <= width / 2 + 0.06, thing.model.label
        assert (rows[:, 2] + rows[:, 16]).max() <= height + 0.06, thing.model.label

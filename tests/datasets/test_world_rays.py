"""Ray and solid: closed forms against walking along the ray and asking "inside?"."""

import math

import numpy as np
import pytest

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.rays import FAR, enter, facing, to_local, turned
from lima_bench.datasets.world.shapes import (
    EXTENT_X,
    EXTENT_Y,
    EXTENT_Z,
    KIND,
    Builder,
    Shapes,
    place,
)
from lima_bench.datasets.world.street import SUBURB, draw_street
from lima_bench.datasets.world.strike import strike
from lima_bench.datasets.world.surface import tops

STEP = 0.004


def _box(build: Builder) -> None:
    build.box((0.2, -0.1, 0.5), (2.0, 1.2, 1.0), Material.METAL, yaw=0.4)


def _tapered(build: Builder) -> None:
    build.box((0, 0, 0.6), (2.0, 1.4, 1.2), Material.METAL, top=(0.5, 0.7), shift=0.2)


def _cone(build: Builder) -> None:
    build.cone((0.1, 0.2, 0.1), 0.8, 1.4, Material.METAL, top=0.3)


def _ball(build: Builder) -> None:
    build.ball((0, 0.1, 0.7), (1.0, 0.6, 0.5), Material.METAL)


def _wheel(build: Builder) -> None:
    build.wheel((0, 0, 0.7), 0.7, 0.5, yaw=0.3)


def _rod(build: Builder) -> None:
    build.rod((-0.6, -0.3, 0.2), (0.7, 0.4, 1.3), 0.35, Material.METAL)


def _inside(name: str, p: np.ndarray) -> np.ndarray:
    """Whether points (N, 3) of the object's frame lie in the solid; from its definition."""
    x, y, z = p.T
    if name == "box":
        x, y = x - 0.2, y + 0.1
        u, v = math.cos(0.4) * x + math.sin(0.4) * y, math.cos(0.4) * y - math.sin(0.4) * x
        return (abs(u) <= 1.0) & (abs(v) <= 0.6) & (abs(z - 0.5) <= 0.5)
    if name == "tapered":
        share = z / 1.2
        half_x, half_y = 1 - 0.5 * share, 0.7 * (1 - 0.3 * share)
        return (abs(x - 0.2 * share) <= half_x) & (abs(y) <= half_y) & (abs(z - 0.6) <= 0.6)
    if name == "cone":
        radius = 0.8 * (1 - 0.7 * (z - 0.1) / 1.4)
        return (np.hypot(x - 0.1, y - 0.2) <= radius) & (abs(z - 0.8) <= 0.7)
    if name == "ball":
        return (x / 1.0) ** 2 + ((y - 0.1) / 0.6) ** 2 + ((z - 0.7) / 0.5) ** 2 <= 1
    if name == "wheel":
        u, v = math.cos(0.3) * x + math.sin(0.3) * y, math.cos(0.3) * y - math.sin(0.3) * x
        return (np.hypot(u, z - 0.7) <= 0.7) & (abs(v) <= 0.25)
    start, end = np.array([-0.6, -0.3, 0.2]), np.array([0.7, 0.4, 1.3])
    axis = (end - start) / np.linalg.norm(end - start)
    along = (p - start) @ axis
    across = np.linalg.norm(p - start - along[:, None] * axis, axis=1)
    return (across <= 0.35) & (along >= 0) & (along <= np.linalg.norm(end - start))


SOLIDS = {
    "box": _box,
    "tapered": _tapered,
    "cone": _cone,
    "ball": _ball,
    "wheel": _wheel,
    "rod": _rod,
}


def _solid(name: str) -> Shapes:
    build = Builder(Label.CAR)
    SOLIDS[name](build)
    return build.shapes()


def _rays(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    origins = rng.normal(size=(count, 3))
    origins *= 4 / np.linalg.norm(origins, axis=1, keepdims=True)
    towards = rng.uniform(-0.9, 0.9, (count, 3)) - origins + np.array([0, 0, 0.6])
    return origins, towards / np.linalg.norm(towards, axis=1, keepdims=True)


def _meet(shapes: Shapes, o: np.ndarray, d: np.ndarray) -> tuple[float, tuple, tuple]:
    origin, way = to_local(shapes.rows, 0, *o, 0.0), turned(shapes.rows, 0, *d)
    return enter(shapes.rows, 0, int(shapes.tags[0, KIND]), origin, way), origin, way


@pytest.mark.parametrize("name", SOLIDS)
def test_rays_enter_where_walking_along_them_does(name: str) -> None:
    shapes = _solid(name)
    steps = np.arange(0, 8, STEP)
    hits = 0
    for o, d in zip(*_rays(150), strict=True):
        found, _, _ = _meet(shapes, o, d)
        inside = _inside(name, o + steps[:, None] * d)
        if not inside.any():
            # A ray may cut a corner between two steps; it must not go deep.
            assert found >= FAR or not _inside(name, (o + (found + 4 * STEP) * d)[None])[0]
            continue
        hits += 1
        assert found == pytest.approx(steps[inside.argmax()], abs=2 * STEP)
    assert hits > 40


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_point_out_of_the_solid(name: str) -> None:
    shapes = _solid(name)
    for o, d in zip(*_rays(60), strict=True):
        t, origin, way = _meet(shapes, o, d)
        if t >= FAR:
            continue
        p = np.array(origin) + t * np.array(way)
        n = np.array(facing(shapes.rows, 0, int(shapes.tags[0, KIND]), tuple(p)))
        assert np.linalg.norm(n) == pytest.approx(1)
        assert n @ way < 1e-9
        at = o + t * d
        cos, sin = shapes.rows[0, 3], shapes.rows[0, 4]
        out = np.array([cos * n[0] - sin * n[1], sin * n[0] + cos * n[1], n[2]])
        assert not _inside(name, (at + 0.02 * out)[None])[0]


@pytest.mark.parametrize("name", SOLIDS)
def test_bounding_boxes_hold_their_solids(name: str) -> None:
    shapes = _solid(name)
    p = np.random.default_rng(1).uniform([-2, -2, -1], [2, 2, 3], (20000, 3))
    p = p[_inside(name, p)]
    local = np.array([to_local(shapes.rows, 0, *point, 0.0) for point in p])
    assert len(p) > 100
    assert (abs(local) <= shapes.rows[0, [EXTENT_X, EXTENT_Y, EXTENT_Z]] + 1e-9).all()


def test_a_ray_from_inside_does_not_see_the_solid() -> None:
    shapes = _solid("box")
    assert _meet(shapes, np.array([0.2, -0.1, 0.5]), np.array([1.0, 0, 0]))[0] >= FAR


def test_placing_turns_and_moves_and_lets_time_pass() -> None:
    placed = place(_solid("ball"), (10.0, 5.0, 1.0), math.pi / 2, (2.0, 0.0, 0.0), instance=3)
    later = to_local(placed.rows, 0, 10.0 - 0.1 + 2 * 0.5, 5.0, 1.7, 0.5)
    np.testing.assert_allclose(later, 0, atol=1e-12)
    assert (placed.tags[:, 4] == 3).all()


@pytest.mark.parametrize("seed", range(6))
def test_kerb_faces_lie_ahead_and_within_reach(seed: int) -> None:
    """Grazing rays over kerbs: none is struck behind its origin or beyond the limit."""
    rng = np.random.default_rng(seed)
    street = draw_street(rng, SUBURB, 30.0, all_classes=True)
    table = street.ground.table
    limit = 60.0
    for _ in range(4000):
        x, y = rng.uniform(-10, 40), rng.uniform(-12, 12)
        turn, dip = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.06)
        o = (x, y, float(tops(table, np.array([x]), np.array([y]))[0]) + 1.7)
        d = (np.cos(turn) * np.cos(dip), np.sin(turn) * np.cos(dip), -np.sin(dip))
        reach = strike(table, o, d, limit)[0]
        assert 0 < reach < limit or reach == FAR

"""Where a ray enters a solid, and which way the surface faces there: closed forms, compiled.

Offers `to_local`, `enter` (distance to the surface), `leave` (of ellipsoids, for foliage) and
`facing` (normal). Rays and points are triples in the solid's own frame.
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple
from lima_bench.datasets.world.shapes import (
    COS,
    CX,
    CY,
    CZ,
    HX,
    HY,
    HZ,
    SHAPE_A,
    SHAPE_B,
    SHAPE_C,
    SIN,
    VX,
    VY,
    VZ,
    Kind,
)

FAR = 1e9
NEAR = 1e-3
_BOX, _TAPERED = int(Kind.BOX), int(Kind.TAPERED)
_CONE, _ELLIPSOID, _WHEEL = int(Kind.CONE), int(Kind.ELLIPSOID), int(Kind.WHEEL)


@compiled
def to_local(rows: Float64, i: int, x: float, y: float, z: float, later_s: float) -> Triple:
    """A point of the town in the frame of solid `i`, `later_s` after the table's time."""
    dx = x - rows[i, CX] - later_s * rows[i, VX]
    dy = y - rows[i, CY] - later_s * rows[i, VY]
    dz = z - rows[i, CZ] - later_s * rows[i, VZ]
    cos, sin = rows[i, COS], rows[i, SIN]
    return cos * dx + sin * dy, cos * dy - sin * dx, dz


@compiled
def turned(rows: Float64, i: int, x: float, y: float, z: float) -> Triple:
    """A direction of the town in the frame of solid `i`."""
    cos, sin = rows[i, COS], rows[i, SIN]
    return cos * x + sin * y, cos * y - sin * x, z


@compiled
def _safe(value: float) -> float:
    if abs(value) > 1e-12:
        return value
    return 1e-12


@compiled
def _box(half: Triple, o: Triple, d: Triple) -> float:
    first, last = -FAR, FAR
    for axis in range(3):
        inverse = 1.0 / _safe(d[axis])
        a = (-half[axis] - o[axis]) * inverse
        b = (half[axis] - o[axis]) * inverse
        first = max(first, min(a, b))
        last = min(last, max(a, b))
    if first > last or first < NEAR:
        return FAR
    return first


@compiled
def _slopes(rows: Float64, i: int) -> Triple:
    """How far the front, back and side planes of a tapered box lean inwards per metre."""
    height = 2 * rows[i, HZ]
    lean = rows[i, HX] * (1 - rows[i, SHAPE_A])
    front = (lean - rows[i, SHAPE_C]) / height
    back = (lean + rows[i, SHAPE_C]) / height
    return front, back, rows[i, HY] * (1 - rows[i, SHAPE_B]) / height


@compiled
def _beyond(rows: Float64, i: int, p: Triple, plane: int) -> float:
    """Signed distance (not normalised) of a point beyond one of six planes of a tapered box."""
    front, back, side = _slopes(rows, i)
    hx, hy, hz = rows[i, HX], rows[i, HY], rows[i, HZ]
    above = p[2] + hz
    beyond: float = -above
    if plane == 0:
        beyond = p[0] + front * above - hx
    elif plane == 1:
        beyond = -p[0] + back * above - hx
    elif plane == 2:
        beyond = p[1] + side * above - hy
    elif plane == 3:
        beyond = -p[1] + side * above - hy
    elif plane == 4:
        beyond = p[2] - hz
    return beyond


@compiled
def _cut(span: tuple[float, float], start: float, change: float) -> tuple[float, float]:
    """The part of a ray's `span` below a plane that it is `start` + t `change` beyond."""
    change = _safe(change)
    t = -start / change
    if change < 0:
        return max(span[0], t), span[1]
    return span[0], min(span[1], t)


@compiled
def _tapered(rows: Float64, i: int, o: Triple, d: Triple) -> float:
    front, back, side = _slopes(rows, i)
    hx, hy, hz = rows[i, HX], rows[i, HY], rows[i, HZ]
    above = o[2] + hz
    span = _cut((-FAR, FAR), o[2] - hz, d[2])
    span = _cut(span, -above, -d[2])
    span = _cut(span, o[1] + side * above - hy, d[1] + side * d[2])
    span = _cut(span, -o[1] + side * above - hy, -d[1] + side * d[2])
    span = _cut(span, o[0] + front * above - hx, d[0] + front * d[2])
    span = _cut(span, -o[0] + back * above - hx, -d[0] + back * d[2])
    if span[0] > span[1] or span[0] < NEAR:
        return FAR
    return span[0]


@compiled
def _cone(radius: float, top: float, hz: float, o: Triple, d: Triple) -> float:
    middle, grow = radius * (1 + top) / 2, radius * (top - 1) / (2 * hz)
    at = middle + grow * o[2]
    a = d[0] * d[0] + d[1] * d[1] - grow * grow * d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] - grow * d[2] * at
    c = o[0] * o[0] + o[1] * o[1] - at * at
    root = b * b - a * c
    best = FAR
    if root >= 0 and abs(a) > 1e-12:
        root = math.sqrt(root)
        for t in ((-b - root) / a, (-b + root) / a):
            z = o[2] + t * d[2]
            if NEAR < t < best and abs(z) <= hz and middle + grow * z >= 0:
                best = t
    end = hz if d[2] < 0 else -hz
    t = (end - o[2]) / _safe(d[2])
    x, y, reach = o[0] + t * d[0], o[1] + t * d[1], middle + grow * end
    if NEAR < t < best and x * x + y * y <= reach * reach:
        best = t
    return best


@compiled
def _ellipsoid(half: Triple, o: Triple, d: Triple) -> tuple[float, float]:
    """Where a ray enters and leaves."""
    ox, oy, oz = o[0] / half[0], o[1] / half[1], o[2] / half[2]
    dx, dy, dz = d[0] / half[0], d[1] / half[1], d[2] / half[2]
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    root = b * b - a * (ox * ox + oy * oy + oz * oz - 1)
    if root < 0:
        return FAR, FAR
    root = math.sqrt(root)
    first = (-b - root) / a
    if first < NEAR:
        return FAR, FAR
    return first, (-b + root) / a


@compiled
def _cylinder(radius: float, half_length: float, o: Triple, d: Triple) -> float:
    """A closed cylinder about the first axis."""
    a = d[1] * d[1] + d[2] * d[2]
    b = o[1] * d[1] + o[2] * d[2]
    c = o[1] * o[1] + o[2] * o[2] - radius * radius
    root = b * b - a * c
    if root < 0:
        return FAR
    t = (-b - math.sqrt(root)) / max(a, 1e-18)
    if t > NEAR and abs(o[0] + t * d[0]) <= half_length:
        return t
    end = half_length if d[0] < 0 else -half_length
    t = (end - o[0]) / _safe(d[0])
    y, z = o[1] + t * d[1], o[2] + t * d[2]
    if t > NEAR and y * y + z * z <= radius * radius:
        return t
    return FAR


@compiled
def _along_rod(rows: Float64, i: int, p: Triple) -> Triple:
    """Components along the axis of a rod, sideways, and across."""
    cos, sin = rows[i, SHAPE_A], rows[i, SHAPE_B]
    return cos * p[0] + sin * p[2], p[1], cos * p[2] - sin * p[0]


@compiled
def enter(rows: Float64, i: int, kind: int, o: Triple, d: Triple) -> float:
    """Distance along the ray `o` + t `d` to the surface of solid `i`; `FAR` when it misses."""
    hx, hy, hz = rows[i, HX], rows[i, HY], rows[i, HZ]
    if kind == _BOX:
        return _box((hx, hy, hz), o, d)
    if kind == _TAPERED:
        return _tapered(rows, i, o, d)
    if kind == _CONE:
        return _cone(hx, rows[i, SHAPE_A], hz, o, d)
    if kind == _ELLIPSOID:
        return _ellipsoid((hx, hy, hz), o, d)[0]
    if kind == _WHEEL:
        return _cylinder(hx, hy, (o[1], o[0], o[2]), (d[1], d[0], d[2]))
    return _cylinder(hy, hx, _along_rod(rows, i, o), _along_rod(rows, i, d))


@compiled
def leave(rows: Float64, i: int, o: Triple, d: Triple) -> float:
    """Distance at which the ray leaves the ellipsoid `i`."""
    return _ellipsoid((rows[i, HX], rows[i, HY], rows[i, HZ]), o, d)[1]


@compiled
def _unit(x: float, y: float, z: float) -> Triple:
    length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
    return x / length, y / length, z / length


@compiled
def _box_facing(half: Triple, p: Triple) -> Triple:
    x, y, z = p[0] / half[0], p[1] / half[1], p[2] / half[2]
    if abs(x) >= abs(y) and abs(x) >= abs(z):
        return math.copysign(1.0, x), 0.0, 0.0
    if abs(y) >= abs(z):
        return 0.0, math.copysign(1.0, y), 0.0
    return 0.0, 0.0, math.copysign(1.0, z)


@compiled
def _tapered_facing(rows: Float64, i: int, p: Triple) -> Triple:
    front, back, side = _slopes(rows, i)
    plane, most = 0, -FAR
    for candidate in range(6):
        beyond = _beyond(rows, i, p, candidate)
        if beyond > most:
            plane, most = candidate, beyond
    if plane == 0:
        return _unit(1.0, 0.0, front)
    if plane == 1:
        return _unit(-1.0, 0.0, back)
    if plane == 2:
        return _unit(0.0, 1.0, side)
    if plane == 3:
        return _unit(0.0, -1.0, side)
    return 0.0, 0.0, 1.0 if plane == 4 else -1.0


@compiled
def _cylinder_facing(half_length: float, p: Triple) -> Triple:
    if abs(p[0]) > half_length - 1e-6:
        return math.copysign(1.0, p[0]), 0.0, 0.0
    return _unit(0.0, p[1], p[2])


@compiled
def facing(rows: Float64, i: int, kind: int, p: Triple) -> Triple:
    """Outward normal of solid `i` at its surface point `p`, in the solid's frame."""
    hx, hy, hz = rows[i, HX], rows[i, HY], rows[i, HZ]
    if kind == _BOX:
        return _box_facing((hx, hy, hz), p)
    if kind == _TAPERED:
        return _tapered_facing(rows, i, p)
    if kind == _CONE:
        if abs(p[2]) > hz - 1e-6:
            return 0.0, 0.0, math.copysign(1.0, p[2])
        radius = math.hypot(p[0], p[1])
        return _unit(p[0], p[1], radius * hx * (1 - rows[i, SHAPE_A]) / (2 * hz))
    if kind == _ELLIPSOID:
        return _unit(p[0] / (hx * hx), p[1] / (hy * hy), p[2] / (hz * hz))
    if kind == _WHEEL:
        axis, x, z = _cylinder_facing(hy, (p[1], p[0], p[2]))
        return x, axis, z
    along, side, across = _cylinder_facing(hx, _along_rod(rows, i, p))
    cos, sin = rows[i, SHAPE_A], rows[i, SHAPE_B]
    return cos * along - sin * across, side, sin * along + cos * across

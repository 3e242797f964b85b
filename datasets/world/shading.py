"""Light: from what each pixel shows to the colour that the camera sees; compiled.

Offers `shade`: sky, sun with shadows, light from the sky, reflections, lamps, haze.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float32, Float64
from lima_bench.datasets.world.camera_rays import KERB_FACE, NOTHING, View, direction
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import smooth
from lima_bench.datasets.world.rays import facing, to_local, turned
from lima_bench.datasets.world.shadows import Shadows, shadow_at
from lima_bench.datasets.world.shapes import COS, KIND, LABEL, MATERIAL, SIN, TEXTURE, Int32
from lima_bench.datasets.world.textures import on_ground, on_solid
from lima_bench.datasets.world.weather import Weather

_GLASS, _CAR_PAINT = int(Material.GLASS), int(Material.CAR_PAINT)
_SKY = np.uint8(Material.SKY)
_NIGHT, _DUSK = 3, 2
_RIDGE = 0.09

UInt8 = npt.NDArray[np.uint8]


@compiled
def _daylight(weather: Weather) -> float:
    return min(1.0, weather.sun + weather.ambient)


@compiled
def _open_sky(weather: Weather, dz: float) -> Triple:
    """Colour of the sky without clouds, at a height above the horizon."""
    up = math.sqrt(min(max(dz, 0.0), 1.0))
    day = _daylight(weather)
    warm = weather.warmth * (1 - up)
    grey = weather.clouds * 0.75
    red = (0.80 - 0.46 * up) * (1 - grey) + 0.70 * grey + 0.45 * warm
    green = (0.85 - 0.32 * up) * (1 - grey) + 0.72 * grey + 0.10 * warm
    blue = (0.90 - 0.12 * up) * (1 - grey) + 0.75 * grey - 0.25 * warm
    return red * day, green * day, blue * day


@compiled
def _sky(weather: Weather, d: Triple, seed: int) -> Triple:
    """Sky with clouds and the glare of the sun, above distant hills."""
    red, green, blue = _open_sky(weather, d[2])
    if d[2] < _RIDGE:
        bearing = math.atan2(d[1], d[0])
        if d[2] < _RIDGE * smooth(7 * bearing, 0.0, seed) * smooth(23 * bearing, 5.0, seed):
            return 0.66 * red, 0.72 * green, 0.74 * blue
    if d[2] > 0.02:
        x, y = d[0] / (d[2] + 0.15), d[1] / (d[2] + 0.15)
        cover = 0.65 * smooth(0.9 * x, 0.9 * y, seed) + 0.35 * smooth(2.7 * x, 2.7 * y, seed + 1)
        share = min(max((cover - 1 + weather.clouds) * 3 + 0.2, 0.0), 1.0) * min(1.0, 6 * d[2])
        white = (0.72 + 0.25 * cover) * _daylight(weather) * (1 - 0.25 * weather.wet)
        red += 0.8 * share * (white - red)
        green += 0.8 * share * (white - green)
        blue += 0.8 * share * (white * 1.02 - blue)
    towards = d[0] * weather.sun_x + d[1] * weather.sun_y + d[2] * weather.sun_z
    if weather.sun > 0.3 and towards > 0.9:
        glare = weather.sun * ((towards - 0.9) / 0.1) ** 4
        red, green, blue = red + glare, green + 0.95 * glare, blue + 0.8 * glare
    return red, green, blue


@compiled
def _headlight(weather: Weather, d: Triple, t: float, n: Triple) -> float:
    """The ego's own lamps reach about 30 m ahead of and around it."""
    if weather.headlight == 0:
        return 0.0
    cosine = abs(n[0] * d[0] + n[1] * d[1] + n[2] * d[2])
    return weather.headlight * (0.25 + 0.75 * cosine) / (1 + (t / 11.0) ** 2)


@compiled
def _lit(weather: Weather, n: Triple, sunny: float, hidden: float, own: float) -> Triple:
    """Light that falls on a surface: red, green, blue."""
    sun = n[0] * weather.sun_x + n[1] * weather.sun_y + n[2] * weather.sun_z
    direct = weather.sun * max(sun, 0.0) * sunny
    sky = weather.ambient * (0.66 + 0.34 * n[2]) * (1 - 0.6 * hidden)
    warm = weather.warmth
    return (
        direct * (1 + warm) + sky * 0.97 + own * 1.05,
        direct + sky + own,
        direct * (1 - warm) + sky * 1.05 + own * 0.85,
    )


@compiled
def _mirror(weather: Weather, d: Triple, n: Triple, strength: float) -> Triple:
    """Sky that a glossy surface mirrors."""
    along = d[0] * n[0] + d[1] * n[1] + d[2] * n[2]
    up = d[2] - 2 * along * n[2]
    share = strength * (0.25 + 0.75 * (1 - min(abs(along), 1.0)) ** 3)
    if up <= 0:
        return (
            0.12 * share * _daylight(weather),
            0.12 * share * _daylight(weather),
            share * 0.12 * _daylight(weather),
        )
    red, green, blue = _open_sky(weather, up)
    return share * red, share * green, share * blue


@compiled
def _gloss(material: int, wet: float) -> float:
    if material == _GLASS:
        return 0.75
    if material == _CAR_PAINT:
        return 0.30
    return 0.45 * wet


@compiled
def _hazed(weather: Weather, far: Triple, t: float, colour: Triple) -> Triple:
    """A colour seen through `t` metres of air, whose own colour is `far`."""
    clear = math.exp(-weather.haze_per_m * t)
    return (
        colour[0] * clear + far[0] * (1 - clear),
        colour[1] * clear + far[1] * (1 - clear),
        colour[2] * clear + far[2] * (1 - clear),
    )


Seen = tuple[int, float, float, float, float, Triple]
"""Material, red, green, blue, glow, and normal in the town's frame."""


@compiled
def _solid(view: View, rows: Float64, tags: Int32, i: int, d: Triple, t: float) -> Seen:
    """What a solid looks like under a pixel."""
    o = to_local(rows, i, view.origin[0], view.origin[1], view.origin[2], view.later_s)
    local = turned(rows, i, d[0], d[1], d[2])
    p = (o[0] + t * local[0], o[1] + t * local[1], o[2] + t * local[2])
    kind = tags[i, KIND]
    n = facing(rows, i, kind, p)
    material, red, green, blue, glow = on_solid(
        rows, i, kind, tags[i, TEXTURE], tags[i, MATERIAL], p, n, t / view.focal
    )
    cos, sin = rows[i, COS], rows[i, SIN]
    return (
        material,
        red,
        green,
        blue,
        glow,
        (cos * n[0] - sin * n[1], sin * n[0] + cos * n[1], n[2]),
    )


@compiled
def _ground(
    view: View, colours: Float64, d: Triple, t: float, kerb_face: bool, material: int, seed: int
) -> Seen:
    """What the ground looks like under a pixel."""
    x, y = view.origin[0] + t * d[0], view.origin[1] + t * d[1]
    width = t / view.focal / max(-d[2], 0.05)
    material, red, green, blue, glow = on_ground(material, x, y, colours, width, seed)
    n = (0.0, 0.0, 1.0)
    if kerb_face:
        level = max(math.hypot(d[0], d[1]), 1e-6)
        n = (-d[0] / level, -d[1] / level, 0.0)
    return material, red, green, blue, glow, n


@compiled
def _colour(
    weather: Weather,
    seen: Seen,
    d: Triple,
    t: float,
    sunny: float,
    hidden: float,
    wet: float,
) -> Triple:
    """Light that a place sends towards the camera, before the air between."""
    material, red, green, blue, glow, n = seen
    own = _headlight(weather, d, t, n)
    light = _lit(weather, n, sunny, hidden, own)
    shine = (0.0, 0.0, 0.0)
    gloss = _gloss(material, wet)
    if gloss > 0:
        shine = _mirror(weather, d, n, gloss * (1 - 0.7 * hidden))
    if weather.kind in (_NIGHT, _DUSK):
        light = (light[0] + 1.1 * glow, light[1] + glow, light[2] + 0.8 * glow)
    dark = 1 - 0.35 * wet
    return (
        red * light[0] * dark + shine[0],
        green * light[1] * dark + shine[1],
        blue * light[2] * dark + shine[2],
    )


@compiled
def shade(
    view: View,
    weather: Weather,
    shadows: Shadows,
    rows: Float64,
    tags: Int32,
    colours: Float64,
    depth: Float64,
    owner: Int32,
    below: Int32,
    seed: int,
) -> tuple[Float32, UInt8, UInt8, Float32]:
    """What one exposure shows.

    Returns:
        Colours (H, W, 3), about 0..1; materials (H, W); labels (H, W); metres along the ray
        (H, W), infinite for the sky.
    """
    image = np.empty((view.height, view.width, 3), dtype=np.float32)
    metres = np.full((view.height, view.width), np.inf, dtype=np.float32)
    materials = np.full((view.height, view.width), _SKY, dtype=np.uint8)
    labels = np.zeros((view.height, view.width), dtype=np.uint8)
    far, o = _open_sky(weather, 0.05), view.origin
    left, low, sun, sky = shadows.left, shadows.low, shadows.sun, shadows.sky
    for v in range(view.height):
        for u in range(view.width):
            ray, i = direction(view, v, u), owner[v, u]
            length = math.sqrt(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2])
            d, t = (ray[0] / length, ray[1] / length, ray[2] / length), depth[v, u] * length
            if i == NOTHING:
                colour = _sky(weather, d, seed)
            else:
                if i >= 0:
                    seen = _solid(view, rows, tags, i, d, t)
                    colour = _colour(weather, seen, d, t, 1.0, 0.0, 0.0)
                    labels[v, u] = tags[i, LABEL]
                else:
                    seen = _ground(view, colours, d, t, i == KERB_FACE, below[v, u, 1], seed)
                    x, y = o[0] + t * d[0], o[1] + t * d[1]
                    sunny, hidden = shadow_at(left, low, sun, sky, x, y)
                    colour = _colour(weather, seen, d, t, sunny, hidden, weather.wet)
                    labels[v, u] = below[v, u, 0]
                colour = _hazed(weather, far, t, colour)
                materials[v, u], metres[v, u] = seen[0], t
            image[v, u, 0], image[v, u, 1], image[v, u, 2] = colour
    return image, materials, labels, metres

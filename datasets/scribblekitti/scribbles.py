"""Scribbles over a drive: short strokes through objects, lines over grounds and walls.

Offers `scribbled` and `SHARES`. Strokes lie still in the town, as people draw them over many scans
at once, and how wide the brush is follows from how much of each class people scribbled.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Bool, Float64, Int64
from lima_bench.datasets.world.labels import SCORED_19, Label
from lima_bench.datasets.world.recording import LidarScan, Recording

# Points by train id, labelled and scribbled (ouenal/scribblekitti config/semantickitti.yaml).
_COUNTS = (
    (99431486, 6566158),
    (391766, 71534),
    (936031, 179925),
    (4586090, 243444),
    (5455888, 426175),
    (816813, 158283),
    (298604, 47008),
    (87779, 17394),
    (467085589, 16078998),
    (34577789, 1934307),
    (338183720, 24700890),
    (9173976, 895279),
    (311802516, 25484637),
    (170001681, 38490240),
    (627195745, 60489552),
    (14189414, 2760067),
    (183603141, 9147035),
    (6712285, 1348133),
    (1441988, 273303),
)
_MORE = 1.18
"""The world shows more road, of which people scribble least, than KITTI does: with every share
raised by this, about 8 % of all points are scribbled, as in the real set (8.06 %)."""

SHARES: tuple[float, ...] = tuple(_MORE * scribbled / labelled for labelled, scribbled in _COUNTS)
"""By train id: the share of a class's points that are scribbled."""

_SPACING_M = {8: 6.0, 9: 4.0, 10: 3.0, 11: 3.0, 12: 4.0, 13: 2.5, 14: 3.0, 16: 5.0}
"""By train id: how far apart lines lie on what is no single object."""

_UPRIGHT = (int(Label.POLE), int(Label.TRAFFIC_SIGN), int(Label.TRUNK))
_APART_M = 1.5
_N_WAVES = 6
_FADE_M = 2.0


def scribbled(recording: Recording) -> tuple[Bool, ...]:
    """For every scan of the drive which of its points (N,) lie under a stroke.

    Of each class that SemanticKITTI scores, those points are taken that lie nearest to the middle
    of a stroke, as many as people scribbled of that class; at least one, so that none is lost.
    """
    scans = [moment.scan for moment in recording.moments]
    classes = np.concatenate([SCORED_19[scan.label] for scan in scans])
    distance = np.concatenate([_to_strokes(scan) for scan in scans])
    start = scans[0].ego_to_global[:3, 3]
    places = np.concatenate([_in_town(scan) for scan in scans]) - start
    for train_id, spacing_m in _SPACING_M.items():
        seed = derive_seed("scribbles", recording.town, recording.name, train_id)
        lines = classes == train_id
        distance[lines] = _to_lines(places[lines], spacing_m, np.random.default_rng(seed))
    chosen = np.zeros(len(classes), dtype=bool)
    for train_id, share in enumerate(SHARES):
        here = np.flatnonzero(classes == train_id)
        count = min(len(here), max(1, round(share * len(here))))
        chosen[here[np.argsort(distance[here], kind="stable")[:count]]] = True
    return tuple(np.split(chosen, np.cumsum([len(scan.points) for scan in scans])[:-1]))


def _in_town(scan: LidarScan) -> Float64:
    """The points (N, 3) in the town's frame."""
    pose = scan.ego_to_global @ scan.lidar_to_ego
    return np.asarray(scan.points @ pose[:3, :3].T + pose[:3, 3], dtype=np.float64)


def _to_lines(places: Float64, spacing_m: float, rng: np.random.Generator) -> Float64:
    """Distance (N,) in metres to the nearest of many lines, greater where lines fade out.

    The lines are where a sum of plane waves in three dimensions is zero: smooth curves on any
    ground or wall. They fade where a slower sum is below zero, so none goes on for ever.
    """
    value, slope = _waves(places, 2 * spacing_m, rng)
    fade, _ = _waves(places, 8 * spacing_m, rng)
    distance: Float64 = np.abs(value) / np.maximum(slope, 1e-6)
    return distance + _FADE_M * np.maximum(-fade, 0.0)


def _waves(places: Float64, length_m: float, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """A sum of waves of about that length at `places`, and the size of its gradient per metre."""
    ways = rng.normal(size=(_N_WAVES, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    ways *= 2 * math.pi / (length_m * rng.uniform(0.8, 1.25, (_N_WAVES, 1)))
    phases = places @ ways.T + rng.uniform(0, 2 * math.pi, _N_WAVES)
    slopes: Float64 = np.linalg.norm(np.sin(phases) @ ways, axis=1)
    values: Float64 = np.cos(phases).sum(axis=1)
    return values, slopes


def _to_strokes(scan: LidarScan) -> Float64:
    """Distance (N,) of objects' points to a stroke drawn along the object; infinite elsewhere."""
    distance = np.full(len(scan.points), np.inf)
    places = scan.points.astype(np.float64)
    objects = _objects(scan)
    order = np.argsort(objects, kind="stable")
    numbers, starts = np.unique(objects[order], return_index=True)
    for number, members in zip(numbers, np.split(order, starts[1:]), strict=True):
        if number > 0:
            distance[members] = _to_stroke(places[members])
    return distance


def _objects(scan: LidarScan) -> Int64:
    """A number (N,) for every object and every post or trunk; 0 for what is neither."""
    upright = np.isin(scan.label, _UPRIGHT)
    spots = np.column_stack([np.floor(_in_town(scan)[:, :2] / _APART_M), scan.label])
    _, posts = np.unique(spots[upright].astype(np.int64), axis=0, return_inverse=True)
    objects = scan.instance.copy()
    objects[upright] = scan.instance.max(initial=0) + 1 + posts.reshape(-1)
    return objects


def _to_stroke(places: Float64) -> Float64:
    """Distance (n,) to the line along an object's longest extent, as the sensor sees both."""
    centre = places.mean(axis=0)
    apart = places - centre
    along = np.linalg.svd(apart, full_matrices=False)[2][0] if len(places) > 1 else apart[0]
    across = np.cross(centre, along)
    size = np.linalg.norm(across)
    distance: Float64 = np.abs(apart @ across) / size if size > 0 else np.zeros(len(places))
    return distance

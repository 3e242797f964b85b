"""LiMA's third idea: two scans of different recordings put together into one.

Offers `mixed_views`, `partners` and `mix`, which return index sets only: targets follow their
points. Numpy, and blind to everything but coordinates, which count in each scan's own LiDAR frame.
Operators: methods-temporal 3.5, after FrustumMix, LaserMix and PolarMix without their label-based
parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lima_bench.lima.methods.cards.lima import Mix
from lima_bench.lima.views import ScanInput, View

_BANDS = (3, 4, 5, 6)
_FRUSTUM_PITCH_DEG = (-30.0, 10.0)
_LASER_PITCH_DEG = (-25.0, 3.0)
_COLUMNS = 480

Xyz = npt.NDArray[np.float32]
Half = Callable[[Xyz], npt.NDArray[np.bool_]]  # which points lie in the second scan's part


def mixed_views(
    scans: Sequence[ScanInput],
    kind: Mix,
    rng: np.random.Generator,
    *,
    brought: Sequence[int] | None = None,
) -> list[View]:
    """One mixed view for every two scans of the step.

    Args:
        scans: All scans of the batch, those of the step first.
        kind: Operator.
        rng: The only source of chance.
        brought: For each scan of the step, the scan that was brought along to be mixed with; None:
            they are mixed with each other, each at most once.
    """
    if kind == "none":
        return []
    if brought is None:
        pairs = partners([scan.sequence for scan in scans], rng)
    else:
        drawn = rng.permutation(len(brought))[: len(brought) // 2]
        pairs = [(int(number), brought[number]) for number in drawn]
    return [mix(scans, pair, kind, rng) for pair in pairs]


def partners(sequences: Sequence[str], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random disjoint pairs of different recordings, as many as there can be.

    Scans of one recording are paired only when nothing else is left for them. With an odd number
    of scans one stays alone.
    """
    shuffled = rng.permutation(len(sequences))
    names = [sequences[number] for number in shuffled]
    grouped = shuffled[sorted(range(len(names)), key=lambda place: names.index(names[place]))]
    half = len(grouped) // 2
    # Each recording is one piece of the list: half the list apart, two scans share a recording
    # only if it fills more than half of the batch.
    return [(int(grouped[place]), int(grouped[place - half])) for place in range(half)]


def mix(
    scans: Sequence[ScanInput], pair: tuple[int, int], kind: Mix, rng: np.random.Generator
) -> View:
    """The points that either scan gives to the mixture.

    Space is cut into two halves by direction as seen from the sensor; the first scan gives what
    lies in one, the second what lies in the other.
    """
    first, second = pair
    given = _DRAW[kind](rng)
    kept = np.nonzero(~given(scans[first].xyz))[0]
    added = np.nonzero(given(scans[second].xyz))[0]
    return View(((first, kept.astype(np.int64)), (second, added.astype(np.int64))))


def _bands(xyz: Xyz, n_bands: int, pitch_deg: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Points in every other band of inclination; beyond the range counts to its outermost band."""
    low, high = np.radians(pitch_deg)
    pitch = np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1]))
    band = np.floor((pitch - low) / (high - low) * n_bands).clip(0, n_bands - 1)
    odd: npt.NDArray[np.bool_] = band.astype(np.int64) % 2 == 1
    return odd


def _turn(xyz: Xyz) -> npt.NDArray[np.float64]:
    """Azimuth as a share of the full circle, 0..1, clockwise from straight behind."""
    yaw = np.arctan2(xyz[:, 1].astype(np.float64), xyz[:, 0])
    turn: npt.NDArray[np.float64] = 0.5 * (1 - yaw / np.pi)
    return turn


def _draw_bands(rng: np.random.Generator, pitch_deg: tuple[float, float]) -> Half:
    n_bands = int(rng.choice(_BANDS))
    return lambda xyz: _bands(xyz, n_bands, pitch_deg)


def _draw_columns(rng: np.random.Generator) -> Half:
    """Half of the columns of a range image, from a random one in its first half on."""
    start = int(rng.integers(_COLUMNS // 2))

    def given(xyz: Xyz) -> npt.NDArray[np.bool_]:
        column = np.floor(_turn(xyz) * _COLUMNS).clip(0, _COLUMNS - 1)
        inside: npt.NDArray[np.bool_] = (column >= start) & (column < start + _COLUMNS // 2)
        return inside

    return given


def _draw_half_plane(rng: np.random.Generator) -> Half:
    start = rng.random()

    def given(xyz: Xyz) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = (_turn(xyz) - start) % 1.0 < 0.5
        return inside

    return given


def _draw_frustum(rng: np.random.Generator) -> Half:
    """Bands of inclination or half the columns, with even odds."""
    return _draw_bands(rng, _FRUSTUM_PITCH_DEG) if rng.random() < 0.5 else _draw_columns(rng)


_DRAW: dict[str, Callable[[np.random.Generator], Half]] = {
    "frustum": _draw_frustum,
    "laser": lambda rng: _draw_bands(rng, _LASER_PITCH_DEG),
    "polar": _draw_half_plane,
}

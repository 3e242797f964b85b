"""Drives through the world: from (spec, data set, split, index) to one recording.

Offers `drive`, `record` and `teacher_trip`. A recording is a pure function of its arguments: same
bits whatever else was recorded before, beside or by whom. Splits never share a street: the split's
name is part of each street's seed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.world.air import disturbed
from lima_bench.datasets.world.annotate import annotate
from lima_bench.datasets.world.camera import open_darkroom, photograph, standing_shadows
from lima_bench.datasets.world.expedition import Expedition, Trip, expedition_of
from lima_bench.datasets.world.lidar import Spin, spin
from lima_bench.datasets.world.recording import LidarScan, Moment, Picture, Recording
from lima_bench.datasets.world.rigs import LidarMount, Rig
from lima_bench.datasets.world.scene import Instant, Scene
from lima_bench.datasets.world.showing import draw_showing
from lima_bench.datasets.world.spec import WorldSpec

_EPOCH_US = 1_535_000_000_000_000
_BETWEEN_RECORDINGS_US = 600_000_000
_SPLITS = ("train", "val", "teacher", "test")


def teacher_trip(index: int) -> Trip:
    """A street for the stand-in image teacher; there is no end of them, and no split has one."""
    return Trip(f"teacher-{index:04d}", "teacher", index, keyframes=2, all_classes=False)


def drive(spec: WorldSpec, dataset: str, split: str, index: int) -> Recording:
    """One recording of a data set's expedition; see `record`.

    Args:
        spec: The world.
        dataset: Whose sensors, and in which kind of town.
        split: One of the data set's, or ``teacher`` (streets for the stand-in image teacher).
        index: Which recording of the split, from 0.

    Raises:
        UserError: The world is not written as this data set, or the split has no such recording.
    """
    expedition = expedition_of(spec, dataset)
    if split == "teacher":
        return record(spec, expedition, teacher_trip(index))
    trips = expedition.of(split)
    if not 0 <= index < len(trips):
        splits = ", ".join(dict.fromkeys(trip.split for trip in expedition.trips))
        what = (
            f'Split "{split}" of {dataset} has {len(trips)} recordings, none with number {index}.'
        )
        raise UserError("world", what, f"Splits here: {splits}, teacher.")
    return record(spec, expedition, trips[index])


def record(spec: WorldSpec, expedition: Expedition, trip: Trip) -> Recording:
    """Record one trip.

    Args:
        spec: The world.
        expedition: Whose rig, and which town.
        trip: One of its trips, or a `teacher_trip`.
    """
    rig, style = trip.rig or expedition.rig, trip.style or expedition.style
    seed = derive_seed(spec.seed, "world", expedition.town, trip.split, trip.index)
    last = (trip.keyframes - 1) * rig.period_s
    scene = draw_showing(
        seed,
        style,
        rig,
        trip.keyframes,
        all_classes=trip.all_classes,
        unlabelled=trip.unlabelled,
    )
    place = trip.index + 100_000 * _SPLITS.index(trip.split)
    start = _EPOCH_US + _BETWEEN_RECORDINGS_US * place
    shadows = standing_shadows(scene, last) if rig.cameras else None
    moments = []
    for keyframe in range(trip.keyframes):
        time_s = keyframe * rig.period_s
        now, stamp = scene.at(time_s), _stamp(start, time_s)
        turn = _look(now, rig.lidar, stamp, trip.air)
        pictures: tuple[Picture, ...] = ()
        if shadows is not None:
            room = open_darkroom(now, shadows)
            pictures = tuple(
                photograph(room, mount, _stamp(start, time_s + mount.later_s))
                for mount in rig.cameras
            )
        moments.append(
            Moment(
                scan=turn.scan,
                sweeps=(
                    _sweeps(scene, rig, trip, start, time_s) if keyframe or trip.lead_in else ()
                ),
                pictures=pictures,
                annotations=annotate(scene, turn, time_s),
                more_scans=tuple(
                    _look(now, mount, stamp, trip.air).scan for mount in rig.more_lidars
                ),
                labelled=keyframe >= trip.unlabelled,
            )
        )
    return Recording(
        name=trip.name,
        split=trip.split,
        description=f"{scene.weather.name}, {style.name} street",
        town=f"world-{style.name}-{trip.split}",
        moments=tuple(moments),
        air=trip.air,
    )


def _look(now: Instant, mount: LidarMount, stamp: int, air: str) -> Spin:
    """One turn of one LiDAR, through what hangs in the air."""
    turn = spin(now, mount, stamp)
    if not air:
        return turn
    seed = derive_seed(now.scene.seed, "air", mount.name, round(now.time_s * 1e6))
    return replace(turn, scan=disturbed(turn.scan, air, np.random.default_rng(seed)))


def _stamp(start_us: int, time_s: float) -> int:
    return start_us + round(time_s * 1e6)


def _sweeps(
    scene: Scene, rig: Rig, trip: Trip, start_us: int, time_s: float
) -> tuple[LidarScan, ...]:
    """The last turns before a keyframe, oldest first; closer where the interval has no room."""
    step = min(rig.lidar.turn_s, rig.period_s / (trip.sweeps + 1))
    times = [time_s - step * (trip.sweeps - k) for k in range(trip.sweeps)]
    return tuple(_look(scene.at(t), rig.lidar, _stamp(start_us, t), trip.air).scan for t in times)

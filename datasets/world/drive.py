"""Drives through the world: from (spec, sensor, split, index) to one recording.

Offers `drive` and `recording_count`. A recording is a pure function of its arguments: same bits
whatever else was recorded before, beside or by whom. Splits never share a street: the split's
name is part of each street's seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.world.annotate import annotate
from lima_bench.datasets.world.camera import open_darkroom, photograph, standing_shadows
from lima_bench.datasets.world.lidar import spin
from lima_bench.datasets.world.recording import LidarScan, Moment, Recording
from lima_bench.datasets.world.rigs import Rig, nuscenes_rig, semantickitti_rig
from lima_bench.datasets.world.scene import Scene
from lima_bench.datasets.world.showing import draw_showing
from lima_bench.datasets.world.spec import TRAIN_SEQUENCES, VAL_SEQUENCES, WorldSpec
from lima_bench.datasets.world.street import CITY, SUBURB, Style

Sensor = Literal["nuscenes", "semantickitti"]
Split = Literal["train", "val", "teacher"]

TEACHER_KEYFRAMES = 2
_EPOCH_US = 1_535_000_000_000_000
_BETWEEN_RECORDINGS_US = 600_000_000
_SPLITS = ("train", "val", "teacher")
_EARLIEST_S = -0.06
SHARE_STRIDE = 100
"""The sparsest label share keeps every 100th train scene, counted from 1."""


@dataclass(frozen=True)
class Plan:
    """What one recording is to be.

    Attributes:
        name: As its format calls it.
        keyframes: How many.
        sweeps: Non-key scans between two keyframes.
        rig: Sensors.
        style: The town's.
        all_classes: Whether every scored class must show.
    """

    name: str
    keyframes: int
    sweeps: int
    rig: Rig
    style: Style
    all_classes: bool


def recording_count(spec: WorldSpec, sensor: Sensor, split: Split) -> int:
    """How many recordings `split` has; the teacher's streets never end and have no count.

    Raises:
        UserError: The split is ``teacher``.
    """
    if split == "teacher":
        raise UserError("world", "The teacher's split has no end.", "Choose how many to draw.")
    if sensor == "nuscenes":
        return spec.nuscenes.train_scenes if split == "train" else spec.nuscenes.val_scenes
    sequences = TRAIN_SEQUENCES if split == "train" else VAL_SEQUENCES
    return len(sequences) if spec.semantickitti.scans(split) else 0


def drive(spec: WorldSpec, sensor: Sensor, split: Split, index: int) -> Recording:
    """Record one drive.

    Args:
        spec: The world.
        sensor: Whose rig and which kind of town: ``nuscenes`` or ``semantickitti``.
        split: ``train``, ``val`` or ``teacher`` (streets for the stand-in image teacher).
        index: Which recording of the split, from 0.
    """
    if split not in _SPLITS:
        raise UserError("world", f'There is no split "{split}".', f"Known: {', '.join(_SPLITS)}")
    plan = _plan(spec, sensor, split, index)
    seed = derive_seed(spec.seed, "world", sensor, split, index)
    last = (plan.keyframes - 1) * plan.rig.period_s
    scene = draw_showing(seed, plan.style, plan.rig, plan.keyframes, all_classes=plan.all_classes)
    start = _EPOCH_US + _BETWEEN_RECORDINGS_US * (index + 100_000 * _SPLITS.index(split))
    shadows = standing_shadows(scene, last)
    moments = []
    for keyframe in range(plan.keyframes):
        time_s = keyframe * plan.rig.period_s
        now = scene.at(time_s)
        turn = spin(now, plan.rig.lidar, _stamp(start, time_s))
        room = open_darkroom(now, shadows)
        pictures = tuple(
            photograph(room, mount, _stamp(start, time_s + mount.later_s))
            for mount in plan.rig.cameras
        )
        sweeps = _sweeps(scene, plan, start, time_s) if keyframe else ()
        moments.append(Moment(turn.scan, sweeps, pictures, annotate(scene, turn, time_s)))
    return Recording(
        name=plan.name,
        split=split,
        description=f"{scene.weather.name}, {plan.style.name} street",
        town=f"world-{plan.style.name}-{split}",
        moments=tuple(moments),
    )


def _stamp(start_us: int, time_s: float) -> int:
    return start_us + round(time_s * 1e6)


def _sweeps(scene: Scene, plan: Plan, start_us: int, time_s: float) -> tuple[LidarScan, ...]:
    """Scans evenly spread over the interval before a keyframe, oldest first."""
    step = plan.rig.period_s / (plan.sweeps + 1)
    times = [time_s - step * (plan.sweeps - k) for k in range(plan.sweeps)]
    return tuple(spin(scene.at(t), plan.rig.lidar, _stamp(start_us, t)).scan for t in times)


def _plan(spec: WorldSpec, sensor: Sensor, split: Split, index: int) -> Plan:
    if sensor == "nuscenes":
        return _nuscenes_plan(spec, split, index)
    if sensor == "semantickitti":
        return _semantickitti_plan(spec, split, index)
    raise UserError("world", f'There is no sensor "{sensor}".', "Known: nuscenes, semantickitti")


def _nuscenes_plan(spec: WorldSpec, split: Split, index: int) -> Plan:
    own = spec.nuscenes
    number = {"train": 1, "val": own.train_scenes + 1, "teacher": 100_001}[split] + index
    shared = split == "train" and (index + 1) % SHARE_STRIDE == 0
    longer = split == "train" and index in own.pretrain_indices
    return Plan(
        name=f"scene-{number:04d}",
        keyframes=TEACHER_KEYFRAMES if split == "teacher" else own.keyframes(split, index),
        sweeps=own.sweeps_per_keyframe,
        rig=nuscenes_rig(own),
        style=CITY,
        all_classes=split == "val" or shared or longer,
    )


def _semantickitti_plan(spec: WorldSpec, split: Split, index: int) -> Plan:
    own = spec.semantickitti
    names = {"train": TRAIN_SEQUENCES, "val": VAL_SEQUENCES}.get(split)
    return Plan(
        name=names[index] if names else f"teacher-{index:04d}",
        keyframes=TEACHER_KEYFRAMES if split == "teacher" else own.scans(split),
        sweeps=0,
        rig=semantickitti_rig(own),
        style=SUBURB,
        all_classes=split != "teacher",
    )

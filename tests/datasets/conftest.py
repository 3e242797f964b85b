"""A small drive with every kind of content, for writing and reading back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.world.labels import NUSCENES_CATEGORY, Label
from lima_bench.datasets.world.recording import (
    Annotation,
    Beams,
    LidarScan,
    Moment,
    Picture,
    Recording,
)

COLUMNS = 90
START_US = 1_700_000_000_000_000
LIDAR_TO_EGO = np.array([[0, 1.0, 0, 0.9], [-1, 0, 0, 0.1], [0, 0, 1, 1.8], [0, 0, 0, 1]])
CAMERA_AXES = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
BOXES = [  # instance, class, attribute, moving, start (x, y), velocity (x, y)
    (11, Label.CAR, "vehicle.moving", True, (12.0, 3.0), (5.0, 1.0)),
    (12, Label.CAR, "vehicle.parked", False, (8.0, -6.0), (0.0, 0.0)),
    (16, Label.TRUCK, "vehicle.moving", True, (-16.0, -8.0), (4.0, 4.0)),
    (13, Label.ADULT, "pedestrian.moving", True, (6.0, 6.0), (0.5, -1.0)),
    (14, Label.RIDDEN_BICYCLE, "cycle.with_rider", True, (-9.0, 2.0), (3.0, 0.0)),
    (15, Label.BARRIER, "", False, (-5.0, -5.0), (0.0, 0.0)),
]


def pose(time_us: int, x0: float = 400.0) -> np.ndarray:
    """The ego vehicle at a time: it drives a curve at about 6 m/s and tilts a little."""
    seconds = (time_us - START_US) * 1e-6
    yaw, pitch = 0.7 + 0.1 * seconds, 0.01
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    tilt = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn @ tilt, (x0 + 6 * seconds * cos, 1100 + 6 * seconds, 0)
    return matrix


def annotations(time_us: int) -> tuple[Annotation, ...]:
    seconds = (time_us - START_US) * 1e-6
    ego = pose(START_US)
    return tuple(
        Annotation(
            instance=instance,
            category=NUSCENES_CATEGORY[label],
            centre=(ego @ [*start, 1.0, 1.0])[:3] + np.array([*velocity, 0.0]) * seconds,
            size=(4.0, 1.8, 1.6) if label == Label.CAR else (1.0, 0.8, 1.7),
            yaw=0.3 * instance - 4,
            velocity=np.array(velocity),
            attribute=attribute,
            n_lidar_points=20,
            visibility=4,
        )
        for instance, label, attribute, _, start, velocity in BOXES
    )


def scan(rng: np.random.Generator, time_us: int) -> LidarScan:
    """Twenty points in each box, one road point in the first, and scenery far away."""
    ego = pose(time_us)
    from_global = np.linalg.inv(ego @ LIDAR_TO_EGO)
    points, labels, instances, moving = [], [], [], []
    for box, (instance, label, _, moves, _, _) in zip(annotations(time_us), BOXES, strict=True):
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        offset = rng.uniform(-0.45, 0.45, (20, 3)) * box.size
        offset = offset @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        points.append((box.centre + offset) @ from_global[:3, :3].T + from_global[:3, 3])
        labels += [label] * 20
        instances += [instance] * 20
        moving += [moves] * 20
    points.append(points[0][:1])
    everything = [label for label in Label for _ in range(3)]
    far = rng.uniform(30, 50, (len(everything), 3)) * rng.choice([-1, 1], (len(everything), 3))
    order = rng.permutation(len(labels) + 1 + len(everything))
    labels = np.array([*labels, Label.ROAD, *everything])[order]
    return LidarScan(
        timestamp_us=time_us,
        points=np.concatenate([*points, far])[order].astype(np.float32),
        intensity=rng.uniform(0, 1, len(order)).astype(np.float32),
        ring=rng.integers(0, 32, len(order)),
        column=np.sort(rng.integers(0, COLUMNS, len(order))),
        label=labels.astype(np.int64),
        instance=np.array([*instances, 0, *[0] * len(everything)])[order],
        moving=np.array([*moving, False, *[False] * len(everything)])[order],
        lidar_to_ego=LIDAR_TO_EGO,
        ego_to_global=ego,
        beams=Beams(
            elevations_rad=np.linspace(-0.5, 0.2, 32),
            azimuths_rad=-2 * np.pi * (np.arange(COLUMNS) + 0.5) / COLUMNS,
            spin_to_ego=LIDAR_TO_EGO,
            ego_to_global=np.tile(ego, (COLUMNS, 1, 1)),
        ),
    )


def picture(rng: np.random.Generator, camera: str, time_us: int, yaw: float) -> Picture:
    mount = np.eye(4)
    cos, sin = np.cos(yaw), np.sin(yaw)
    mount[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ CAMERA_AXES
    mount[:3, 3] = (1.5, 0.1, 1.6)
    shape = (48, 80)
    smooth = np.linspace(0, 255, 80)[None, :, None] * np.linspace(0, 1, 48)[:, None, None]
    return Picture(
        camera=camera,
        timestamp_us=time_us,
        pixels=np.broadcast_to(smooth, (*shape, 3)).astype(np.uint8)
        + rng.integers(0, 2, (*shape, 3), dtype=np.uint8),
        intrinsic=np.array([[60.0, 0, 39.5], [0, 61.0, 23.5], [0, 0, 1]]),
        camera_to_ego=mount,
        ego_to_global=pose(time_us),
        material=np.zeros(shape, np.uint8),
        label=np.zeros(shape, np.uint8),
        depth=np.zeros(shape, np.float32),
    )


@pytest.fixture(scope="session")
def drive() -> Callable[..., Recording]:
    """Makes a recording of three keyframes, 0.5 s apart, one sweep before all but the first.

    `cameras` are (name, delay in us, yaw); SemanticKITTI has no delay.
    """

    def make(
        name: str,
        split: str = "train",
        cameras: tuple[tuple[str, int, float], ...] = (
            ("CAM_FRONT", -30_000, 0.0),
            ("CAM_BACK", 20_000, np.pi),
        ),
        seed: int = 0,
    ) -> Recording:
        rng = np.random.default_rng(seed)
        moments = []
        for i in range(3):
            now = START_US + 500_000 * i
            moments.append(
                Moment(
                    scan=scan(rng, now),
                    sweeps=(scan(rng, now - 250_000),) if i else (),
                    pictures=tuple(picture(rng, n, now + late, yaw) for n, late, yaw in cameras),
                    annotations=annotations(now),
                )
            )
        return Recording(name, split, "dry, day", "Test Town", tuple(moments))

    return make


@pytest.fixture(scope="session")
def nuscenes_root(
    drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Recording]]:
    """A data root of three scenes, not in order of their names, and what was written there."""
    from lima_bench.datasets.nuscenes.writer import write_recording, write_tables

    root = tmp_path_factory.mktemp("nuscenes")
    drives = [
        drive("scene-0009", seed=1),
        drive("scene-0002", "val", seed=2),
        drive("scene-0005", seed=3),
    ]
    write_tables([write_recording(d, root) for d in drives], root, pretrain=["scene-0005"])
    return root, drives


KITTI_CAMERAS = (("image_2", 0, 0.0),)


@pytest.fixture(scope="session")
def semantickitti_root(
    drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Recording]]:
    """A data root of two sequences and what was written there."""
    from lima_bench.datasets.semantickitti.writer import write_recording, write_tables

    root = tmp_path_factory.mktemp("semantickitti")
    drives = [
        drive("03", cameras=KITTI_CAMERAS, seed=4),
        drive("08", "val", cameras=KITTI_CAMERAS, seed=5),
    ]
    write_tables([write_recording(d, root) for d in drives], root, pretrain=["03"])
    return root, drives


RINGS = 32


def beamed(turn: LidarScan, rng: np.random.Generator) -> LidarScan:
    """The turn with a beam of its own for every point."""
    columns = len(turn.beams.azimuths_rad)
    beams = np.sort(rng.choice(columns * RINGS, len(turn.points), replace=False))
    return replace(turn, ring=beams % RINGS, column=beams // RINGS)


@pytest.fixture(scope="session")
def one_a_cell_drive(drive: Callable[..., Recording]) -> Callable[..., Recording]:
    """As `drive`, with at most one point in each cell of a scan's range image."""

    def make(*arguments: object, **settings: object) -> Recording:
        rng, recording = np.random.default_rng(0), drive(*arguments, **settings)
        moments = [replace(m, scan=beamed(m.scan, rng)) for m in recording.moments]
        return replace(recording, moments=tuple(moments))

    return make


def lifelike(recording: Recording, seed: int = 0) -> Recording:
    """The recording as RELLIS-3D can say it, with every world class in its image."""
    rng = np.random.default_rng(seed)
    moments = []
    for moment in recording.moments:
        pictures = tuple(
            replace(p, label=rng.integers(0, len(Label), p.label.shape, dtype=np.uint8))
            for p in moment.pictures
        )
        moments.append(replace(moment, scan=beamed(moment.scan, rng), pictures=pictures))
    return replace(recording, moments=tuple(moments))


@pytest.fixture(scope="session")
def rellis3d_drive(drive: Callable[..., Recording]) -> Callable[..., Recording]:
    """Makes recordings as RELLIS-3D can say them: one camera, at the scan's time by default."""

    def make(name: str, split: str = "train", late_us: int = 0) -> Recording:
        return lifelike(drive(name, split, cameras=(("pylon_camera_node", late_us, 0.0),)))

    return make


@pytest.fixture(scope="session")
def rellis3d_root(
    rellis3d_drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Recording]]:
    """Two sequences of two parts each, written out of order."""
    from lima_bench.datasets.rellis3d.writer import write_recording, write_tables

    root = tmp_path_factory.mktemp("rellis3d")
    parts = (("00001/000000", "train"), ("00000/000000", "train"), ("00000/000003", "val"),
             ("00001/000003", "test"))  # fmt: skip
    drives = [rellis3d_drive(name, split) for name, split in parts]
    tables = [write_recording(recording, root) for recording in drives]
    write_tables(tables, root, pretrain=["00000/000000", "00001/000000"])
    return root, drives


@pytest.fixture(scope="session")
def daps3d_root(
    drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Recording]]:
    """A data root of both parts of DAPS-3D, and what was written there by name."""
    from lima_bench.datasets.daps3d.writer import write_recording, write_tables

    root = tmp_path_factory.mktemp("data") / "daps3d"
    train = ("daps-1/00", "daps-2/38-18_7_72_90", "daps-2/42-48_10_78_90")
    names = (*train, "daps-1/08", "daps-2/44-18_11_15_32")
    drives = {
        name: drive(name, "train" if name in train else "val", cameras=(), seed=seed)
        for seed, name in enumerate(names)
    }
    write_tables([write_recording(d, root) for d in drives.values()], root, pretrain=())
    return root, drives


@pytest.fixture(scope="session")
def synth4d_root(
    drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Recording]]:
    """A data root of both sets of Synth4D, and what was written there by name."""
    from lima_bench.datasets.synth4d.expedition import TOWNS
    from lima_bench.datasets.synth4d.writer import write_recording, write_tables

    root = tmp_path_factory.mktemp("data") / "synth4d"
    drives = {
        f"{set_name}/{town}/{first:06}": drive(
            f"{set_name}/{town}/{first:06}", split, cameras=(), seed=10 * place + first
        )
        for set_name in ("nuscenes_synth", "kitti_synth")
        for place, town in enumerate(TOWNS)
        for split, first in (("train", 0), ("val", 3))
    }
    write_tables([write_recording(d, root) for d in drives.values()], root, pretrain=())
    return root, drives

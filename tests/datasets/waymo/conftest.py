"""Two train segments and one of val, in both of Waymo Open's formats."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lima_bench.datasets.waymo import tfrecord_writer, writer
from lima_bench.datasets.waymo.expedition import expedition
from lima_bench.datasets.world.drive import record
from lima_bench.datasets.world.drives import WaymoDrive
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

SMALL = WaymoDrive(
    train_segments=2,
    val_segments=1,
    frames=3,
    unlabelled=1,
    azimuths=90,
    side_azimuths=20,
    side_beams=10,
    image_height=24,
    image_width=36,
    max_range_m=40.0,
)


@pytest.fixture(scope="session")
def drives() -> list[Recording]:
    """Two train segments and one of val, in the order of their names."""
    spec = WorldSpec(waymo=SMALL)
    trips = expedition(spec)
    return [
        record(spec, trips, replace(trip, all_classes=False, keyframes=SMALL.frames))
        for trip in trips.trips
    ]


@pytest.fixture(scope="session")
def roots(drives: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same recordings in both formats."""
    found = {}
    for name, module in (("parquet", writer), ("tfrecord", tfrecord_writer)):
        found[name] = root = tmp_path_factory.mktemp(name)
        parts = [module.write_recording(drive, root) for drive in drives]
        writer.write_tables(parts, root, pretrain=[drives[1].name])
    return found


@pytest.fixture
def copied(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the components that a test may break."""
    return Path(shutil.copytree(roots["parquet"], tmp_path / "waymo"))


@pytest.fixture
def recorded(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the records that a test may break."""
    return Path(shutil.copytree(roots["tfrecord"], tmp_path / "records"))

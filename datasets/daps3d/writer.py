"""Recordings of the built-in world as DAPS-3D on disk.

Offers `write_recording` (one sequence; run many at once) and `write_tables` (``params.yml`` of each
part, once). A recording's name is its part and sequence, ``daps-1/08``. The sequences have their
published names and splits, so there is no ``splits.json``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from lima_bench.datasets.daps3d.raw_ids import RAW, RAW_DAPS1
from lima_bench.datasets.world.recording import LidarScan, Recording

INTENSITY_SCALE = 255.0


@dataclass(frozen=True)
class SensorTables:
    """What one recording tells of its part's sensor; plain data that travels between processes.

    Attributes:
        part: ``daps-1`` or ``daps-2``.
        fov_up_deg: Elevation of the highest beam.
        fov_down_deg: Of the lowest.
        columns: Per turn.
        beams: How many.
    """

    part: str
    fov_up_deg: float
    fov_down_deg: float
    columns: int
    beams: int


def write_recording(recording: Recording, root: Path) -> SensorTables:
    """Write one sequence: clouds and labels, numbered from 0.

    Intensity 0..1 becomes whole numbers 0..255. Sweeps, pictures and poses are not written: the
    format has none.
    """
    part, _, sequence = recording.name.partition("/")
    folder = root / part / "data" / sequence
    raw_of = RAW_DAPS1 if part == "daps-1" else RAW
    for name in ("clouds", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, moment in enumerate(recording.moments):
        _write_scan(moment.scan, folder, f"{number:06}", raw_of[moment.scan.label].astype("<i4"))
    beams = recording.moments[0].scan.beams
    elevations = np.degrees(beams.elevations_rad)
    return SensorTables(
        part=part,
        fov_up_deg=round(float(elevations.max()), 2),
        fov_down_deg=round(float(elevations.min()), 2),
        columns=len(beams.azimuths_rad),
        beams=len(elevations),
    )


def write_tables(parts: Iterable[SensorTables], root: Path, *, pretrain: Collection[str]) -> None:
    """Write the ``params.yml`` of each part, in the form of the authors' sensor settings.

    Args:
        parts: What `write_recording` returned.
        root: The data root.
        pretrain: Must be empty.

    Raises:
        ValueError: Something is to be pretrained on, but the format has no cameras.
    """
    if pretrain:
        raise ValueError("DAPS-3D has no cameras, so none of it is for pretraining")
    for table in dict.fromkeys(parts):
        settings = {
            "sensor": {
                "name": "Ouster OS0-64",
                "type": "spherical",
                "fov_up": table.fov_up_deg,
                "fov_down": table.fov_down_deg,
            },
            "img_prop": {"width": table.columns, "height": table.beams},
        }
        (root / table.part / "params.yml").write_text(yaml.safe_dump(settings, sort_keys=False))


def _write_scan(scan: LidarScan, folder: Path, stem: str, raw: object) -> None:
    """Points with intensity, and one label a point."""
    intensity = np.rint(np.clip(scan.intensity, 0, 1) * INTENSITY_SCALE)
    rows = np.column_stack([scan.points, intensity]).astype("<f4")
    (folder / "clouds" / f"{stem}.bin").write_bytes(rows.tobytes())
    (folder / "labels" / f"{stem}.label").write_bytes(np.asarray(raw, "<i4").tobytes())

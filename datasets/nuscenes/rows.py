"""The table rows of one recording, in nuScenes' schema.  Recording -> `recording_tables` -> rows.

Offers `RecordingTables`, `recording_tables` and `fixed_tables`. Pure: what is written where is
decided here, the writing is `lima_bench.datasets.nuscenes.writer`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes.box_rows import ATTRIBUTES, VISIBILITIES, box_rows
from lima_bench.datasets.nuscenes.names import lidar_token, links, log_name, token
from lima_bench.datasets.nuscenes.sensor_rows import sensor_rows
from lima_bench.datasets.nuscenes.tables import LIDAR, Rows
from lima_bench.datasets.world.recording import Moment, Recording


@dataclass(frozen=True)
class RecordingTables:
    """What one recording adds to the tables; plain data that travels between processes.

    Attributes:
        name: The scene's name.
        split: ``train`` or ``val``.
        rows: New rows by table.
    """

    name: str
    split: str
    rows: dict[str, Rows]


def recording_tables(recording: Recording, version: str) -> RecordingTables:
    """Every row that `recording` adds to the tables of `version`."""
    scene, log = token("scene", recording.name), token("log", recording.name)
    samples = [token("sample", recording.name, i) for i in range(len(recording.moments))]
    started = datetime.fromtimestamp(recording.moments[0].scan.timestamp_us * 1e-6, tz=UTC)
    rows: dict[str, Rows] = {
        "log": [
            {
                "token": log,
                "logfile": log_name(recording),
                "vehicle": "synth",
                "date_captured": started.date().isoformat(),
                "location": recording.town,
            }
        ],
        "scene": [
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": recording.name,
                "description": recording.description,
            }
        ],
        "sample": [
            {
                "token": sample,
                "timestamp": moment.scan.timestamp_us,
                "scene_token": scene,
                **chain,
            }
            for sample, moment, chain in zip(
                samples, recording.moments, links(samples), strict=True
            )
        ],
        "lidarseg": [_lidarseg_row(recording, moment, version) for moment in recording.moments],
        **sensor_rows(recording, samples),
        **box_rows(recording, samples),
    }
    return RecordingTables(recording.name, recording.split, rows)


def fixed_tables(
    card: Card, channels: list[str], logs: list[str], map_file: str
) -> dict[str, Rows]:
    """The tables that do not grow with recordings: classes, sensors, the map."""
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": index}
            for index, name in card.raw_names.items()
        ],
        "attribute": [
            {"token": token("attribute", name), "name": name, "description": ""}
            for name in ATTRIBUTES
        ],
        "visibility": [
            {"token": str(number), "level": level, "description": ""}
            for number, level in VISIBILITIES.items()
        ],
        "sensor": [
            {
                "token": token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in channels
        ],
        "map": [
            {
                "token": token("map"),
                "log_tokens": logs,
                "category": "semantic_prior",
                "filename": map_file,
            }
        ],
    }


def _lidarseg_row(recording: Recording, moment: Moment, version: str) -> dict[str, Any]:
    name = lidar_token(recording, moment.scan.timestamp_us)
    file = f"lidarseg/{version}/{name}_lidarseg.bin"
    return {"token": name, "sample_data_token": name, "filename": file}

"""Tables of a nuScenes version of any size, up to that of the real one, without a sensor file.

Offers `write_version`, `FULL` and `FEW`. Counts, fields and the layout of the text (one field a
line) are those of the real tables: 850 scenes hold 34,149 samples, 2.63 million files and 1.16
million boxes. Rows are written one by one, so memory stays small.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes.reader import CARD
from lima_bench.datasets.nuscenes.rows import fixed_tables
from lima_bench.datasets.nuscenes.tables import LIDAR

FULL, FEW = 850, 20
"""Scenes of the real trainval version, and of one that is made in seconds."""

RADARS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")
INTERVAL_US = 500_000
MAP_FILE = "map.png"
LOG_SCENES = 12
START_US = 1_531_000_000_000_000
BOXES_PER_SCENE, BOX_SAMPLES = 76, 18
"""Objects of a scene, and keyframes in which each is seen."""

Row = Mapping[str, Any]
Chain = Iterable[tuple[str, str, str]]


def write_version(root: Path, n_scenes: int, version: str = "v1.0-trainval") -> Path:
    """Write the tables of `n_scenes` scenes below the data root `root`; returns their folder.

    Scenes are called as in the official split ``train``, then ``val``.
    """
    folder = root / version
    folder.mkdir(parents=True)
    card = Card.read(CARD)
    channels = [LIDAR, *card.cameras, *(f"RADAR_{place}" for place in RADARS)]
    names = (*card.splits["train"], *card.splits["val"])[:n_scenes]
    (root / MAP_FILE).touch()  # the official kit looks whether it is there
    logs = [_token("log", number) for number in range(0, len(names), LOG_SCENES)]
    tables = fixed_tables(card, channels, logs, MAP_FILE)
    for table, rows in tables.items():
        (folder / f"{table}.json").write_text(json.dumps(rows, indent=0))
    fixed = _Fixed(
        sensors={row["channel"]: row["token"] for row in tables["sensor"]},
        categories=[row["token"] for row in tables["category"]],
        attributes=[row["token"] for row in tables["attribute"]],
    )
    with ExitStack() as stack:
        growing = _Tables(folder, stack)
        for number, name in enumerate(names):
            _write_scene(growing, number, name, fixed)
    return folder


@dataclass(frozen=True)
class _Fixed:
    """Tokens of the tables that do not grow: sensors by channel, categories, attributes."""

    sensors: Mapping[str, str]
    categories: list[str]
    attributes: list[str]


class _Tables:
    """The growing tables, each an open file that ends as a JSON list."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._files: dict[str, TextIO] = {}
        self._labels = folder.parent / "lidarseg" / folder.name
        self._labels.mkdir(parents=True)

    def add(self, table: str, row: Row) -> None:
        """Append a row, one field a line."""
        file = self._files.get(table)
        if file is None:
            path = self._folder / f"{table}.json"
            file = self._files[table] = self._stack.enter_context(path.open("w"))
            file.write("[\n")
            self._stack.callback(partial(file.write, "\n]"))
        else:
            file.write(",\n")
        file.write(_text(row))

    def add_labels(self, token: str) -> None:
        """Append the row of a label file; the file is empty, but the official kit counts them."""
        path = self._labels / f"{token}_lidarseg.bin"
        path.touch()
        name = path.relative_to(self._folder.parent).as_posix()
        self.add("lidarseg", {"token": token, "sample_data_token": token, "filename": name})


def _text(row: Row) -> str:
    """As `json.dumps` with an indent of 0, several times as fast."""
    return "{\n" + ",\n".join(f'"{key}": {_value(value)}' for key, value in row.items()) + "\n}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[\n" + ",\n".join(_value(part) for part in value) + "\n]" if value else "[]"
    return repr(value)


def _token(*parts: object) -> str:
    return hashlib.md5(repr(parts).encode(), usedforsecurity=False).hexdigest()


def _chain(tokens: list[str]) -> Chain:
    """Each token with the one before and the one after."""
    return zip(tokens, ["", *tokens[:-1]], [*tokens[1:], ""], strict=True)


def _write_scene(tables: _Tables, number: int, name: str, fixed: _Fixed) -> None:
    n_samples = 40 + (number < 149)
    samples = [_token("sample", name, i) for i in range(n_samples)]
    start_us = START_US + number * 1_000_000_000
    log = _token("log", number - number % LOG_SCENES)
    if number % LOG_SCENES == 0:
        tables.add("log", {"token": log, "logfile": "n015", "vehicle": "n015", "location": "town"})
    scene = {"token": _token("scene", name), "log_token": log, "nbr_samples": n_samples}
    ends = {"first_sample_token": samples[0], "last_sample_token": samples[-1]}
    tables.add("scene", {**scene, **ends, "name": name, "description": "A drive, as long as any"})
    for i, (token, before, after) in enumerate(_chain(samples)):
        links = {"prev": before, "next": after, "scene_token": scene["token"]}
        tables.add("sample", {"token": token, "timestamp": start_us + i * INTERVAL_US, **links})
    for channel, sensor in fixed.sensors.items():
        _write_sensor(tables, name, channel, sensor, samples, start_us)
    _write_boxes(tables, name, samples, fixed)


def _write_sensor(
    tables: _Tables, scene: str, channel: str, sensor: str, samples: list[str], start_us: int
) -> None:
    """The calibration of one sensor in one scene, and all its files with a pose each."""
    calibration = _token("calibrated_sensor", scene, channel)
    place: dict[str, Any] = {"translation": [0.943713, 0.0, 1.84023]}
    place["rotation"] = [0.7077955119163518, -0.006492242056004365, 0.010646214713995808, -0.7063]
    focal = [[1266.417, 0.0, 816.267], [0.0, 1266.417, 491.507], [0.0, 0.0, 1.0]]
    place["camera_intrinsic"] = focal if channel.startswith("CAM") else []
    tables.add("calibrated_sensor", {"token": calibration, "sensor_token": sensor, **place})
    files = list(_files(channel, samples, start_us))
    tokens = [_token("sample_data", scene, channel, time) for time, _, _ in files]
    width, height = (1600, 900) if channel.startswith("CAM") else (0, 0)
    suffix = {"CAM": "jpg", "LID": "pcd.bin", "RAD": "pcd"}[channel[:3]]
    for (time, sample, is_key), (token, before, after) in zip(files, _chain(tokens), strict=True):
        folder = "samples" if is_key else "sweeps"
        name = f"{folder}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__{time}.{suffix}"
        parents = {"sample_token": sample, "ego_pose_token": token}
        seen = {"calibrated_sensor_token": calibration, "timestamp": time}
        form = {"fileformat": suffix[:3], "is_key_frame": is_key, "height": height, "width": width}
        links = {"filename": name, "prev": before, "next": after}
        tables.add("sample_data", {"token": token, **parents, **seen, **form, **links})
        tables.add("ego_pose", {"token": token, "timestamp": time, **_pose(time - start_us)})
        if is_key and channel == LIDAR:
            tables.add_labels(token)


def _files(channel: str, samples: list[str], start_us: int) -> Iterator[tuple[int, str, bool]]:
    """Time, sample and whether it is the keyframe: 10 scans, 6 images or 6 and 7 radar sweeps."""
    n = {"LID": 10, "CAM": 6, "RAD": 7 if channel == "RADAR_FRONT" else 6}[channel[:3]]
    late_us = sum(channel.encode()) % 40 * 1000
    for i, sample in enumerate(samples):
        for k in range(n):
            time = start_us + i * INTERVAL_US + k * INTERVAL_US // n + late_us
            yield time, samples[min(i + (k > n // 2), len(samples) - 1)] if k else sample, k == 0


def _pose(time_us: int) -> dict[str, list[float]]:
    """Of a car that drives a long curve at 8 m/s."""
    seconds = time_us * 1e-6
    half = 0.5 * (0.7 + 0.02 * seconds)
    x, y = 411.30 + 8 * seconds * math.cos(2 * half), 1180.89 + 8 * seconds * math.sin(2 * half)
    rotation = [math.cos(half), 0.011 * math.cos(x), -0.007 * math.sin(y), math.sin(half)]
    return {"rotation": rotation, "translation": [x, y, 0.0]}


def _write_boxes(tables: _Tables, scene: str, samples: list[str], fixed: _Fixed) -> None:
    for number in range(BOXES_PER_SCENE):
        instance = _token("instance", scene, number)
        first = number * 7 % (len(samples) - BOX_SAMPLES)
        seen = samples[first : first + BOX_SAMPLES]
        tokens = [_token("sample_annotation", instance, i) for i in range(len(seen))]
        ends = {"first_annotation_token": tokens[0], "last_annotation_token": tokens[-1]}
        kind = {"token": instance, "category_token": fixed.categories[2 + number % 22]}
        tables.add("instance", {**kind, "nbr_annotations": len(tokens), **ends})
        for i, (token, before, after) in enumerate(_chain(tokens)):
            parents = {"sample_token": seen[i], "instance_token": instance}
            told = {"visibility_token": "4", "attribute_tokens": [fixed.attributes[number % 8]]}
            x, y = 373.2 + 1.7 * number + 0.31 * i, 1130.4 + 0.9 * number - 0.17 * i
            place = {
                "translation": [x, y, 0.8 + number / 97],
                "size": [0.6 + number / 61, 0.7, 1.6],
            }
            turn = {"rotation": [math.cos(x), 0.0, 0.0, math.sin(x)]}
            counts = {"num_lidar_pts": number % 40, "num_radar_pts": 0}
            links = {"prev": before, "next": after}
            row = {"token": token, **parents, **told, **place, **turn, **links, **counts}
            tables.add("sample_annotation", row)

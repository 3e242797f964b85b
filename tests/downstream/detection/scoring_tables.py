"""nuScenes tables of a few made-up frames with every case that the metric tells apart."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.nuscenes.box_rows import ATTRIBUTES
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Frame

FACTS = NuScenes.card.detection
VERSION, SPLIT = "v1.0-synth", "made_up"
TABLES = (
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
)
SCENES = {"one": 0.5, "two": 0.5, "slow": 1.6, "other": 0.5}
"""Seconds between keyframes; ``other`` is of no split."""

N_FRAMES, N_OBJECTS = 4, 60
EMPTY = "bus"
"""A class that is never annotated."""


def write_tables(root: Path, seed: int) -> Path:
    """Write the thirteen tables and the list of splits; returns their folder."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {name: [] for name in TABLES}
    categories = sorted([*FACTS.label_of, *FACTS.racks, "animal"])
    rows["category"] = [{"token": f"c:{c}", "name": c, "description": ""} for c in categories]
    rows["attribute"] = [{"token": f"a:{a}", "name": a, "description": ""} for a in ATTRIBUTES]
    rows["visibility"] = [{"token": "4", "level": "v80-100", "description": ""}]
    rows["sensor"] = [
        {"token": f"s:{n}", "channel": n, "modality": "lidar"} for n in ("LIDAR_TOP", "RADAR_FRONT")
    ]
    place = {
        "translation": [0.9, 0.0, 1.8],
        "rotation": [0.7, 0.0, 0.0, -0.7],
        "camera_intrinsic": [],
    }
    rows["calibrated_sensor"] = [
        {"token": f"k:{s['token']}", "sensor_token": s["token"], **place} for s in rows["sensor"]
    ]
    rows["log"] = [
        {"token": "log", "logfile": "", "vehicle": "", "date_captured": "", "location": "town"}
    ]
    rows["map"] = [{"token": "m", "log_tokens": ["log"], "category": "", "filename": "map.png"}]
    for scene, seconds in SCENES.items():
        _scene(rows, rng, scene, seconds, categories)
    rows["sample"] = [rows["sample"][i] for i in rng.permutation(len(rows["sample"]))]
    folder = root / VERSION
    folder.mkdir(parents=True)
    (root / "map.png").touch()
    for name, table in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    scenes = [name for name in SCENES if name != "other"]
    (folder / "splits.json").write_text(json.dumps({SPLIT: scenes, "rest": ["other"]}))
    return folder


def frames_of(*scenes: str) -> list[Frame]:
    return [
        Frame(f"{s}{i}", s, i, 0.5 * i, alias=f"{s}/{i}") for s in scenes for i in range(N_FRAMES)
    ]


def _scene(rows: dict[str, list], rng, scene: str, seconds: float, categories: list[str]) -> None:
    samples = [f"{scene}/{i}" for i in range(N_FRAMES)]
    rows["scene"].append(
        {
            "token": f"t:{scene}",
            "log_token": "log",
            "nbr_samples": N_FRAMES,
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": scene,
            "description": "",
        }
    )
    start = rng.uniform(500, 1500, 2)
    for i, sample in enumerate(samples):
        time_us = 1_600_000_000_000_000 + int(1e6 * seconds * i)
        links = {"prev": samples[i - 1] if i else "", "next": [*samples, ""][i + 1]}
        rows["sample"].append(
            {"token": sample, "timestamp": time_us, "scene_token": f"t:{scene}", **links}
        )
        for n, sensor in enumerate(rows["sensor"]):
            token = f"{sample}/{sensor['channel']}"
            # The radar stands elsewhere: only the LiDAR's pose says how far boxes are.
            where = [*(start + 2.0 * i + 40.0 * n).tolist(), 0.0]
            rows["ego_pose"].append(
                {
                    "token": token,
                    "timestamp": time_us,
                    "translation": where,
                    "rotation": [1.0, 0.0, 0.0, 0.0],
                }
            )
            rows["sample_data"].append(
                {
                    "token": token,
                    "sample_token": sample,
                    "ego_pose_token": token,
                    "calibrated_sensor_token": f"k:{sensor['token']}",
                    "timestamp": time_us,
                    "fileformat": "pcd",
                    "is_key_frame": True,
                    "height": 0,
                    "width": 0,
                    "filename": "",
                    "prev": "",
                    "next": "",
                }
            )
    for number in range(N_OBJECTS):
        _object(rows, rng, f"{scene}:{number}", samples, start, categories)


def _object(rows, rng, name: str, samples: list[str], start, categories: list[str]) -> None:
    category = str(rng.choice([c for c in categories if ".bus" not in c]))
    bicycle = rng.random() < 0.5 and category in ("vehicle.bicycle", "vehicle.motorcycle")
    seen = np.sort(rng.choice(N_FRAMES, rng.integers(1, N_FRAMES + 1), replace=False))
    tokens = [f"b:{name}:{i}" for i in seen]
    rows["instance"].append(
        {
            "token": f"i:{name}",
            "category_token": f"c:{category}",
            "nbr_annotations": len(seen),
            "first_annotation_token": tokens[0],
            "last_annotation_token": tokens[-1],
        }
    )
    offset, speed = rng.uniform(-45, 45, 2), rng.normal(0, 4, 2)
    size = [8.0, 9.0, 3.0] if category in FACTS.racks else rng.uniform(0.5, 5, 3).tolist()
    if category in FACTS.racks or bicycle:
        offset, speed = rng.uniform(-6, 6, 2), np.zeros(2)
    kind = "cycle" if category.endswith("cycle") else category.replace("human.", "").split(".")[0]
    fitting = [name for name in ATTRIBUTES if name.split(".")[0] == kind]
    for i, frame in enumerate(seen):
        attribute = [f"a:{rng.choice(fitting)}"] if fitting and rng.random() < 0.8 else []
        rows["sample_annotation"].append(
            {
                "token": tokens[i],
                "sample_token": samples[frame],
                "instance_token": f"i:{name}",
                "visibility_token": "4",
                "attribute_tokens": attribute,
                "translation": [*(start + offset + 0.5 * frame * speed).tolist(), 1.0],
                "size": size,
                "rotation": (rng.normal(0, [1, 0.02, 0.02, 1])).tolist(),
                "num_lidar_pts": int(rng.integers(0, 2)),
                "num_radar_pts": int(rng.integers(0, 2)),
                "prev": tokens[i - 1] if i else "",
                "next": [*tokens, ""][i + 1],
            }
        )


def guesses(truth: DetectionTruth, seed: int) -> GlobalBoxes:
    """Predictions, some near the truth: equal scores, unknown velocities, missing attributes.

    Cars are found everywhere, trailers never; some headings are turned by half a circle; some
    objects are found twice.
    """
    rng = np.random.default_rng(seed)
    trailer = FACTS.names.index("trailer")
    able = np.flatnonzero(truth.boxes.label != trailer)
    base = truth.boxes.only(np.sort(rng.choice(able, 2 * len(able))))
    n = len(base.frame)
    far = rng.normal(0, rng.choice([0.0, 0.4, 1.5, 30], (n, 1)), (n, 3))
    half_turn = rng.random(n) < 0.3
    w, x, y, z = (base.rotation + rng.normal(0, 0.1, (n, 4))).T
    turned = np.where(half_turn, (-z, y, -x, w), (w, x, y, z)).T
    velocity = np.nan_to_num(base.velocity) + rng.normal(0, 1, (n, 2))
    velocity[rng.random(n) < 0.2] = np.nan
    labels = np.array([i for i in range(len(FACTS.names)) if i != trailer])
    other = rng.random(n) < 0.1
    return replace(
        base,
        centre=base.centre + far,
        size=base.size * np.exp(rng.normal(0, 0.3, (n, 3))),
        rotation=turned,
        velocity=velocity,
        label=np.where(other, rng.choice(labels, n), base.label),
        score=np.round(rng.random(n), 1),
        attribute=tuple(
            a if rng.random() < 0.7 else rng.choice(ATTRIBUTES) for a in base.attribute
        ),
        n_points=np.full(n, -1),
    )


def as_found(truth: DetectionTruth) -> GlobalBoxes:
    """The truth that has points as predictions, all equally sure."""
    boxes = truth.boxes.only(np.flatnonzero(truth.boxes.n_points))
    n = len(boxes.frame)
    return replace(boxes, score=np.ones(n), n_points=np.full(n, -1))

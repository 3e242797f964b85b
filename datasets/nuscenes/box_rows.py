"""A recording's annotations as rows of nuScenes tables.

Offers `box_rows`, and the official names `ATTRIBUTES` and `VISIBILITIES`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lima_bench.datasets.nuscenes.names import links, token
from lima_bench.datasets.nuscenes.tables import Rows
from lima_bench.datasets.world.recording import Annotation, Recording

ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
)
VISIBILITIES = {1: "v0-40", 2: "v40-60", 3: "v60-80", 4: "v80-100"}


def box_rows(recording: Recording, samples: list[str]) -> dict[str, Rows]:
    """The rows of sample_annotation and instance."""
    by_instance: dict[int, list[tuple[str, Annotation]]] = {}
    for sample, moment in zip(samples, recording.moments, strict=True):
        for box in moment.annotations:
            by_instance.setdefault(box.instance, []).append((sample, box))
    boxes, instances = [], []
    for number, seen in by_instance.items():
        instance = token("instance", recording.name, number)
        tokens = [token("sample_annotation", instance, sample) for sample, _ in seen]
        instances.append(
            {
                "token": instance,
                "category_token": token("category", seen[0][1].category),
                "nbr_annotations": len(tokens),
                "first_annotation_token": tokens[0],
                "last_annotation_token": tokens[-1],
            }
        )
        for name, (sample, box), chain in zip(tokens, seen, links(tokens), strict=True):
            boxes.append(
                {"token": name, "sample_token": sample, "instance_token": instance}
                | _box_row(box)
                | chain
            )
    return {"sample_annotation": boxes, "instance": instances}


def _box_row(box: Annotation) -> dict[str, Any]:
    if box.attribute and box.attribute not in ATTRIBUTES:
        raise ValueError(f"nuScenes has no attribute {box.attribute!r}")
    length, width, height = (float(side) for side in box.size)
    return {
        "visibility_token": str(box.visibility),
        "attribute_tokens": [token("attribute", box.attribute)] if box.attribute else [],
        "translation": [float(part) for part in box.centre],
        "size": [width, length, height],
        "rotation": [float(np.cos(box.yaw / 2)), 0.0, 0.0, float(np.sin(box.yaw / 2))],
        "num_lidar_pts": box.n_lidar_points,
        "num_radar_pts": 0,
    }

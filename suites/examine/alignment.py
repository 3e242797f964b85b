"""Whether the parts of a frame fit together: boxes with points, pixels with points, poses.

Offers `Alignment`; `Alignment.add` measures a sample, `Alignment.judge` says what looks wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lima_bench.datasets.api import Dataset, PixelLabelled
from lima_bench.datasets.nuscenes.inside import mark_inside
from lima_bench.datasets.rigid import FASTEST_M_PER_S, inverse
from lima_bench.datasets.sample import IGNORE, Boxes, Float64, Int64, Sample
from lima_bench.lima.pairs import Pairs, project
from lima_bench.suites.examine.findings import Findings

LEAST_CLOSE = 0.7
"""Share of boxes that should hold about as many points as annotated; nuScenes: nearly all."""

LEAST_AGREEING = 0.5
"""Share of points that should carry their pixel's class (RELLIS-3D's sample: 0.77; chance: 0)."""

FARTHEST_CAMERA_M = 10.0
"""From the LiDAR: the length of a car, and how far it drives between the two shutters."""


@dataclass
class Alignment:
    """Sums over the loaded frames of one split.

    Attributes:
        n_boxes: Annotated boxes.
        n_exact: Those that hold exactly as many.
        n_close: Those that hold about as many: within 2 or a tenth.
        n_points: Points of frames with cameras.
        n_seen: Those that some image sees.
        seen_by: Camera to the points that it sees.
        n_images: Camera to its images.
        n_pixels: Points with a class that fall on a pixel with a class.
        n_agreeing: Those of the same class.
        n_posed: Frames with a pose.
        far_cameras: Camera to its largest distance from the LiDAR in metres.
        bent: Frames whose pose or camera pose is no rotation and translation.
        fast: Pairs of frames of a sequence between which the car would be faster than any car.
    """

    n_boxes: int = 0
    n_exact: int = 0
    n_close: int = 0
    n_points: int = 0
    n_seen: int = 0
    seen_by: Counter[str] = field(default_factory=Counter)
    n_images: Counter[str] = field(default_factory=Counter)
    n_pixels: int = 0
    n_agreeing: int = 0
    n_posed: int = 0
    far_cameras: dict[str, float] = field(default_factory=dict)
    bent: list[str] = field(default_factory=list)
    fast: list[tuple[str, str]] = field(default_factory=list)
    _last: Sample | None = None

    def add(self, reader: Dataset, sample: Sample) -> None:
        """Measure one frame; frames come in the order of their split.

        Raises:
            UserError: The frame's labelled image cannot be read, or its images lack a pose.
        """
        # Under a condition (nuScenes-C: a corruption) points are missing that were annotated.
        if sample.boxes is not None and not sample.condition:
            self._add_boxes(sample.points.astype(np.float64), sample.boxes)
        if sample.lidar_to_global is not None:
            self._add_pose(sample, sample.lidar_to_global)
        if sample.cameras:
            pairs = project(sample, rounding="floor")
            self.n_points += len(sample.points)
            self.n_seen += len(np.unique(pairs.point))
            for place, camera in enumerate(sample.cameras):
                self.n_images[camera.name] += 1
                self.seen_by[camera.name] += int((pairs.camera == place).sum())
            if isinstance(reader, PixelLabelled):
                self._add_pixels(reader, sample, pairs)

    def judge(self, place: str, findings: Findings) -> None:
        """Tell what looks wrong."""
        self._judge_poses(place, findings)
        if self.n_points and not self.n_seen:
            findings.fault(
                place,
                "Not one point falls into an image.",
                "Calibration and poses must belong to these scans; get them again.",
            )
        for camera, n_images in self.n_images.items():
            if self.n_seen and not self.seen_by[camera]:
                findings.warning(
                    place, f"No point falls into the {n_images} images of {camera} looked at."
                )
        if self.n_close < LEAST_CLOSE * self.n_boxes:
            findings.warning(
                place,
                f"Only {self.n_close} of {self.n_boxes} boxes hold about as many points as "
                "annotated.",
                "Boxes, poses and scans must be of the same release.",
            )
        if self.n_agreeing < LEAST_AGREEING * self.n_pixels:
            findings.warning(
                place,
                f"Only {self.n_agreeing / self.n_pixels:.1%} of {self.n_pixels} points carry the "
                "class of the pixel that sees them.",
                "The transform from LiDAR to camera may be inverted or of another rig.",
            )

    def _judge_poses(self, place: str, findings: Findings) -> None:
        again = "Get the poses and the calibration again."
        if self.bent:
            findings.fault(
                place, f"The pose of {self.bent[0]} is not a rotation and a translation.", again
            )
        if self.fast:
            before, after = self.fast[0]
            findings.fault(
                place,
                f"No car gets from the pose of {before} to that of {after} in the time between.",
                again,
            )
        for camera, distance_m in self.far_cameras.items():
            if distance_m > FARTHEST_CAMERA_M:
                findings.warning(
                    place, f"{camera} is {distance_m:.0f} m away from the LiDAR.", again
                )

    def _add_boxes(self, points: Float64, boxes: Boxes) -> None:
        apart = np.abs(inside_counts(points, boxes) - boxes.n_points)
        self.n_boxes += len(apart)
        self.n_exact += int((apart == 0).sum())
        self.n_close += int((apart <= np.maximum(2, 0.1 * boxes.n_points)).sum())

    def _add_pose(self, sample: Sample, pose: Float64) -> None:
        self.n_posed += 1
        poses = np.stack([pose, *(camera.camera_to_global for camera in sample.cameras)])
        if not _is_rigid(poses):
            self.bent.append(sample.frame.id)
            return
        for camera in sample.cameras:
            shift = camera.camera_to_global[:3, 3] - pose[:3, 3]
            known = self.far_cameras.get(camera.name, 0.0)
            self.far_cameras[camera.name] = max(known, float(np.linalg.norm(shift)))
        last, self._last = self._last, sample
        if last is not None and _too_fast(last, sample):
            self.fast.append((last.frame.id, sample.frame.id))

    def _add_pixels(self, reader: PixelLabelled, sample: Sample, pairs: Pairs) -> None:
        labelled = reader.pixel_labels(sample.frame)
        if labelled is None or sample.labels is None:
            return
        first = pairs.camera == 0
        pixel = reader.pixel_classes(labelled[pairs.row[first], pairs.col[first]])
        point = sample.labels[pairs.point[first]]
        both = (pixel != IGNORE) & (point != IGNORE)
        self.n_pixels += int(both.sum())
        self.n_agreeing += int((pixel == point)[both].sum())


def inside_counts(points: Float64, boxes: Boxes) -> Int64:
    """How many points (N, 3) lie in each box (B,)."""
    counts = np.zeros(len(boxes.yaw), dtype=np.int64)
    turn = np.stack((np.cos(boxes.yaw), np.sin(boxes.yaw)), axis=1)
    points = np.ascontiguousarray(points)
    for box in range(len(counts)):
        one = slice(box, box + 1)
        hit = np.zeros(len(points), dtype=bool)
        mark_inside(points, boxes.centre[one], boxes.size[one] / 2, turn[one], hit)
        counts[box] = hit.sum()
    return counts


def _is_rigid(poses: Float64) -> bool:
    if not np.isfinite(poses).all():
        return False
    turns = poses[:, :3, :3]
    slant = np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max()
    return bool(slant < 1e-2 and (np.linalg.det(turns) > 0).all())


def _too_fast(before: Sample, after: Sample) -> bool:
    if before.frame.sequence != after.frame.sequence:
        return False
    assert before.lidar_to_global is not None and after.lidar_to_global is not None
    step = (inverse(before.lidar_to_global) @ after.lidar_to_global)[:3, 3]
    seconds = max(after.frame.timestamp_s - before.frame.timestamp_s, 1e-3)
    return bool(np.linalg.norm(step) > FASTEST_M_PER_S * seconds)

"""Boxes of one frame as they are drawn: results and annotations -> corners in the LiDAR frame.

Offers `Marks`, `marks_of_truth`, `marks_of_found`, and `entries_of`, which takes single frames out
of a result file in the nuScenes devkit's form (detection 7).
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.rigid import apply, inverse, rotation
from lima_bench.datasets.sample import Bool, Boxes, Float64, Int64

FACE = ((1, 1), (1, -1), (-1, -1), (-1, 1))
"""Front left, front right, back right, back left."""

EDGES = np.array([(n, (n + 1) % 4) for n in range(4)])
EDGES = np.concatenate([EDGES, EDGES + 4, np.stack([np.arange(4), np.arange(4, 8)], axis=1)])
"""(12, 2) corners that an edge joins: those below, those above, the upright ones."""

_FIRST_BYTES = 1 << 16


@dataclass(frozen=True)
class Marks:
    """Boxes to draw.

    Attributes:
        corners: (B, 8, 3) metres, LiDAR frame: the lower face, then the upper one, each in the
            order front left, front right, back right, back left.
        label: (B,) class by the card's `detection`.
        score: (B,) in 0..1; 1 for truth.
        bare: (B,) whether the annotation counts no point within, of LiDAR or RADAR, so that the metric
            leaves it out; of predictions, False.
    """

    corners: Float64
    label: Int64
    score: Float64
    bare: Bool

    def __len__(self) -> int:
        """The number of boxes."""
        return len(self.label)

    def only(self, rows: Bool) -> Marks:
        """Some of them, in the same order."""
        return Marks(self.corners[rows], self.label[rows], self.score[rows], self.bare[rows])

    @property
    def middle(self) -> Float64:
        """(B, 3) middles."""
        middle: Float64 = self.corners.mean(axis=1)
        return middle

    @property
    def headings(self) -> Float64:
        """(B, 2, 3) from the middle of the lower face to the middle of its front edge."""
        low = self.corners[:, :4]
        return np.stack([low.mean(axis=1), low[:, :2].mean(axis=1)], axis=1)


def marks_of_truth(boxes: Boxes | None, facts: DetectionFacts) -> Marks:
    """The annotated objects that are of a class, whether or not they count for the metric."""
    if boxes is None:
        return _marks(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)), [], [], [])
    mine = [row for row, name in enumerate(boxes.category) if name in facts.label_of]
    yaw = boxes.yaw[mine]
    half = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], axis=1)
    labels = [facts.label_of[boxes.category[row]] for row in mine]
    bare = boxes.n_points[mine] + boxes.n_radar[mine] == 0
    turn = rotation(half)
    return _marks(boxes.centre[mine], boxes.size[mine], turn, labels, [1.0] * len(mine), bare)


def marks_of_found(
    entries: Iterable[Mapping[str, Any]],
    lidar_to_global: Float64,
    facts: DetectionFacts,
    least: float,
    where: object,
) -> Marks:
    """Predictions of one frame, the worst first so that the best is drawn on top.

    Args:
        entries: As the devkit writes them: global frame, width before length.
        lidar_to_global: 4x4 of the frame.
        facts: Names of the classes.
        least: Score from which a prediction is drawn.
        where: The file, for messages.

    Raises:
        UserError: An entry lacks something, or is of no known class.
    """
    try:
        kept = sorted(
            (entry for entry in entries if entry["detection_score"] >= least),
            key=lambda entry: float(entry["detection_score"]),
        )
        labels = [facts.names.index(entry["detection_name"]) for entry in kept]
        centre = np.array([entry["translation"] for entry in kept], float).reshape(-1, 3)
        width_first = np.array([entry["size"] for entry in kept], float).reshape(-1, 3)
        turn = rotation(np.array([entry["rotation"] for entry in kept], float).reshape(-1, 4))
        scores = [float(entry["detection_score"]) for entry in kept]
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(where, f"A box in it is broken: {error}.") from error
    to_lidar = inverse(lidar_to_global)
    turn = to_lidar[:3, :3] @ turn
    bare = np.zeros(len(kept), dtype=bool)
    return _marks(apply(to_lidar, centre), width_first[:, [1, 0, 2]], turn, labels, scores, bare)


def entries_of(path: Path, tokens: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The boxes of some frames; the rest of the file, which may be a gigabyte, is not parsed.

    Args:
        path: ``results_nusc.json``.
        tokens: Of the samples.

    Raises:
        UserError: The file is missing or broken, or has no such frame.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return {token: _entries(path, data, token) for token in tokens}
    except (OSError, ValueError) as error:
        raise _broken(path, f"This result file cannot be read: {error}.") from error


def _entries(path: Path, data: mmap.mmap, token: str) -> list[Mapping[str, Any]]:
    """The array behind one key; as a value, a token is followed by no colon."""
    found = re.search(re.escape(json.dumps(token).encode()) + rb"\s*:\s*", data)
    if found is None:
        raise _broken(path, f"It says nothing of frame {token}.")
    begin, length, decoder = found.end(), _FIRST_BYTES, json.JSONDecoder()
    while True:
        text = data[begin : begin + length].decode("utf-8", "ignore")
        try:
            entries: list[Mapping[str, Any]] = decoder.raw_decode(text)[0]
            return entries
        except json.JSONDecodeError:
            if begin + length >= len(data):
                raise
            length *= 4


def _broken(where: object, what: str) -> UserError:
    how = "Remove the folder it lies in and run the suite again; that job alone is repeated."
    return UserError(where, what, how)


def _marks(
    centre: Float64,
    size: Float64,
    turn: Float64,
    labels: Sequence[int],
    scores: Sequence[float],
    bare: Bool | Sequence[bool],
) -> Marks:
    signs = np.array([(*face, up) for up in (-1, 1) for face in FACE])
    offsets = signs[None] * size[:, None] / 2
    corners = offsets @ np.swapaxes(turn, 1, 2) + centre[:, None]
    label = np.array(labels, dtype=np.int64)
    return Marks(corners, label, np.array(scores, float), np.array(bare, dtype=bool))

"""Made-up scenes with a box here and there, and what is seen of them on a page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Boxes, Camera, Frame, Sample
from lima_bench.results.render.pages import styled
from lima_bench.suites.pictures.above import figure_above
from lima_bench.suites.pictures.looks import Caption
from lima_bench.suites.pictures.marks import Marks

Call = Callable[..., tuple[int, str, str]]
CARD = NuScenes.card
FACTS = CARD.detection
CAPTION = Caption("a detector", "a frame", 0.3)
CAMERA_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # nuScenes' LiDAR: x right, y ahead
SEEN = np.array([[60.0, 0, 49.5], [0, 60, 39.5], [0, 0, 1]])


def truth_as_found(tables: Path, score: float = 0.9) -> dict[str, list[dict]]:
    """Annotations of every sample as predictions, straight from the tables."""

    def rows(name: str) -> list[dict]:
        return json.loads((tables / f"{name}.json").read_text())

    category = {row["token"]: row["name"] for row in rows("category")}
    of = {row["token"]: category[row["category_token"]] for row in rows("instance")}
    found: dict[str, list[dict]] = {row["token"]: [] for row in rows("sample")}
    for row in rows("sample_annotation"):
        name = of[row["instance_token"]]
        if name in FACTS.label_of:
            box = {key: row[key] for key in ("sample_token", "translation", "size", "rotation")}
            kind = {"detection_name": FACTS.names[FACTS.label_of[name]], "detection_score": score}
            found[row["sample_token"]].append(box | kind)
    return found


def write(path: Path, found: dict[str, list[dict]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"meta": {}, "results": found}))
    return path


def boxes(*places: tuple[float, ...]) -> Boxes:
    """Cars at x, y with a yaw."""
    x, y, yaw = np.array(places, float).reshape(-1, 3).T
    n = len(x)
    return Boxes(
        np.stack([x, y, 0 * x], axis=1),
        np.tile([4.0, 2.0, 1.5], (n, 1)),
        yaw,
        np.zeros((n, 2)),
        ("vehicle.car",) * n,
        tuple(map(str, range(n))),
        np.zeros(n, bool),
        np.ones(n, np.int64),
        np.zeros(n, np.int64),
    )


def scene(found: Boxes | None = None, *cameras: Camera) -> Sample:
    points = np.random.default_rng(0).uniform(-30, 30, (200, 3)).astype(np.float32)
    frame = Frame("a", "a", 0, 0.0, alias="a")
    one = np.ones(200, np.float32)
    return Sample(frame, points, one, lidar_to_global=np.eye(4), cameras=cameras, boxes=found)


def camera(image: Path | None = None, **changes: object) -> Camera:
    pose = np.eye(4)
    pose[:3, :3] = CAMERA_AXES
    return Camera("front", "front", image, SEEN, pose, 100, 80, **changes)


def pixels(png: bytes, colour: str) -> np.ndarray:
    """Columns and rows, as shares of the page, of pixels of just this colour."""
    page = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero((np.abs(page.astype(int) - wanted) <= 2).all(axis=2))
    return np.stack([columns / page.shape[1], rows / page.shape[0]], axis=1)


def as_page(figure: Figure) -> bytes:
    """A page as it is written, but smaller."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format="png", metadata={"Software": None})
    return buffer.getvalue()


def drawn_above(truth: Marks, found: Marks) -> bytes:
    with styled():
        return as_page(figure_above(scene(), CARD, truth, found, CAPTION))


def on_map(shares: np.ndarray) -> np.ndarray:
    return shares[shares[:, 0] < 0.72]  # beside it is the legend

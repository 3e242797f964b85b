"""What the detectors of a suite found, drawn: finished jobs -> a few frames -> PNG and SVG files.

Offers `draw_detections`, its result `Drawn`, and the defaults `LEAST_SCORE` and `N_FRAMES`. Nothing
runs: boxes are those that the job handed to the metric and left in its artifact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.datasets.api import Card, Dataset, Frame, Sample, base_of, open_dataset
from lima_bench.downstream.detection.catalogue import DETECTORS
from lima_bench.downstream.scores.devkit import RESULTS
from lima_bench.suites.examine.examine import spread
from lima_bench.suites.expand import TaughtRow
from lima_bench.suites.job import Job, world_role
from lima_bench.suites.pictures.looks import Caption
from lima_bench.suites.pictures.marks import entries_of, marks_of_found, marks_of_truth
from lima_bench.suites.schema import Column
from lima_bench.suites.session import Session

STAGE = "detect"
"""Its jobs leave `RESULTS` in their artifacts."""

LEAST_SCORE = 0.3
"""Predictions below are not drawn: detectors keep hundreds that they hardly believe in."""

N_FRAMES = 3
"""Of the validation split, evenly spread: the same for all detectors, so that they compare."""

DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Drawn:
    """What came of it.

    Attributes:
        paths: Files that were written.
        notes: Detectors that could not be drawn, and why.
    """

    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Detector:
    """A row that found something, in one of its columns."""

    row: TaughtRow
    column: Column
    job: Job

    @property
    def share(self) -> str:
        """Of labels that it learned from: ``20%``."""
        return self.column.labels.partition("@")[0]

    @property
    def name(self) -> str:
        """As printed."""
        kind = DETECTORS.get(self.job.config["detector"]).title
        return f"{self.row.title}, {kind}, {self.share} of {self.column.on}"


@dataclass(frozen=True)
class _Scene:
    """A frame with what was found in it."""

    sample: Sample
    card: Card
    entries: Sequence[Mapping[str, Any]]
    results: Path


def draw_detections(
    session: Session,
    folder: Path,
    *,
    least: float | None = None,
    n_frames: int | None = None,
) -> Drawn:
    """Draw every row's detectors, each as taught on the last of its columns that has a result.

    Files are ``<suite>.<profile>.<row>.<data set>-<share>.<scene>-<frame>.above.{png,svg}`` and
    ``....cameras.png``.

    Args:
        session: What was asked for; rows and columns may be narrowed.
        folder: Where to write.
        least: Score from which predictions are drawn; None: `LEAST_SCORE`.
        n_frames: Frames of each detector; None: `N_FRAMES`.

    Raises:
        UserError: The numbers mean nothing, a result or a recording is broken, or one cannot write
            there.
    """
    least = LEAST_SCORE if least is None else least
    n_frames = N_FRAMES if n_frames is None else n_frames
    if not 0 <= least <= 1:
        raise UserError(f"--score {least:g}", "A score lies between 0 and 1.", "--score 0.3")
    if n_frames < 1:
        raise UserError(f"--frames {n_frames}", "At least one frame.", "--frames 3")
    paths: list[Path] = []
    notes: list[str] = []
    frames_of, load = cache(_frames), cache(_load)
    for detector in _finished(session):
        job, stem = detector.job, _stem(session, detector)
        results, root = session.store.artifact(job.key) / RESULTS, _root(session, job)
        if missing := _missing(results, root):
            notes.append(f"{detector.name}: {missing}")
            continue
        data = job.config["data"]
        reader, frames = frames_of(data["dataset"], root, data["splits"]["val"])
        chosen = spread(frames, n_frames)
        entries = entries_of(results, [frame.alias for frame in chosen])
        for frame in chosen:
            sample = load(data["dataset"], frame)
            place = f"{frame.sequence}, frame {frame.index}: {len(sample.points):,} points"
            caption = Caption(detector.name, place, least, _small_print(session))
            path = folder / f"{stem}.{frame.sequence}-{frame.index:02d}".replace("/", "-")
            scene = _Scene(sample, reader.card, entries[frame.alias], results)
            paths += _draw(scene, caption, path)
    return Drawn(tuple(paths), tuple(notes))


def _finished(session: Session) -> list[_Detector]:
    """Of each row and data set the last column that has a record, with its first seed."""
    expansion = session.expansion
    rows = {taught.row.id: taught for taught in expansion.rows}
    columns = {column.id: column for column in expansion.columns}
    found: dict[tuple[str, str], _Detector] = {}
    for cell in expansion.cells:
        keys = [cell.jobs[seed] for seed in expansion.seeds if seed in cell.jobs]
        jobs = [expansion.jobs[key] for key in keys]
        done = [job for job in jobs if job.stage == STAGE and session.store.get(STAGE, job.key)]
        if done:
            column = columns[cell.column]
            found[cell.row, str(column.on)] = _Detector(rows[cell.row], column, done[0])
    return list(found.values())


def _root(session: Session, job: Job) -> Path | None:
    """Where the files of the job's data set lie; None without a data root."""
    base = base_of(job.datasets[0])
    world = job.inputs.get(world_role(base))
    made = session.data if world is None else session.store.artifact(world)
    return made / base if made is not None else None


def _missing(results: Path, root: Path | None) -> str:
    """Why a detector cannot be drawn; empty if it can."""
    if not results.is_file():
        return f"its boxes are gone from the store ({results})"
    if root is None:
        return "its frames are on no data root; give --data DIR"
    return "" if root.is_dir() else f"its frames are gone ({root})"


def _stem(session: Session, detector: _Detector) -> str:
    loaded = session.loaded
    asked = f"{detector.column.on}-{detector.share}".replace(":", "-")
    parts = (loaded.suite.name, loaded.profile.name, detector.row.row.id, asked)
    return ".".join(parts)


def _small_print(session: Session) -> str:
    if session.loaded.profile.data.world is None:
        return ""
    return "Built-in world: not comparable with published pictures."


def _frames(name: str, root: Path, split: str) -> tuple[Dataset, Sequence[Frame]]:
    reader = open_dataset(name)
    return reader, reader.frames(root, split)


def _load(name: str, frame: Frame) -> Sample:
    return open_dataset(name).load(frame)


def _draw(scene: _Scene, caption: Caption, path: Path) -> list[Path]:
    """The pages of one frame; returns the files."""
    from lima_bench.results.render.pages import as_png, as_svg, styled
    from lima_bench.suites.pictures.above import figure_above
    from lima_bench.suites.pictures.overlay import figure_cameras

    sample, card = scene.sample, scene.card
    facts, pose = card.detection, sample.lidar_to_global
    assert facts is not None and pose is not None  # else there were no results
    truth = marks_of_truth(sample.boxes, facts)
    found = marks_of_found(scene.entries, pose, facts, caption.least, scene.results)
    with styled():
        above = figure_above(sample, card, truth, found, caption)
        pages = {
            "above.png": as_png(above, dots_per_inch=DOTS_PER_INCH),
            "above.svg": as_svg(above),
        }
        if cameras := figure_cameras(sample, card, truth, found, caption):
            pages["cameras.png"] = as_png(cameras, dots_per_inch=DOTS_PER_INCH)
    paths = [path.with_name(f"{path.name}.{ending}") for ending in pages]
    for file, page in zip(paths, pages.values(), strict=True):
        write_atomic(file, page)
    return paths

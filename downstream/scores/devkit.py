"""The official nuScenes kit as judge of boxes: its result file, its numbers, and ours beside them.

Offers `write_results`, `official_scores`, `check_split` and `judged`. The kit's `DetectionEval`
runs as it was published; nothing of it is changed or left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.global_boxes import DetectionTruth, GlobalBoxes
from lima_bench.datasets.nuscenes.tables import read_table
from lima_bench.downstream.scores.detection_result import (
    ERRORS,
    DetectionScores,
    agree,
    detection_result,
)
from lima_bench.downstream.scores.nuscenes_detection import DISTANCES_M, detection_scores
from lima_bench.downstream.scores.result import Scores

RESULTS = "results_nusc.json"
META = {
    "use_camera": False,
    "use_lidar": True,
    "use_radar": False,
    "use_map": False,
    "use_external": False,
}
"""What predictions were made from; pretraining looks at images, a detector does not."""

SUFFIX_OF = {
    "train": "trainval",
    "val": "trainval",
    "train_detect": "trainval",
    "train_track": "trainval",
    "mini_train": "mini",
    "mini_val": "mini",
    "test": "test",
}
"""The kit's own splits, by how the version's name must end; others are the version's."""

SPLITS = "splits.json"
"""Beside the tables: scene names of splits that the kit does not know."""

_NO_BOXES = "Error: Invalid box type: None"
"""What the kit raises where it looks for the first box and there is none."""


def write_results(
    found: GlobalBoxes, truth: DetectionTruth, facts: DetectionFacts, folder: Path
) -> Path:
    """Write predictions in the kit's format; every frame has an entry.

    Frames are written in the order of the version's table, so that the kit takes equal scores in
    one order whatever the split.

    Returns:
        The file, ``results_nusc.json`` in `folder`.
    """
    path = folder / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    starts = np.searchsorted(found.frame, np.arange(len(truth.samples) + 1)).tolist()
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"meta": {json.dumps(META)}, "results": {{')
        for i, frame in enumerate(np.argsort(truth.turn).tolist()):
            sample = truth.samples[frame]
            rows = found.only(np.arange(starts[frame], starts[frame + 1]))
            boxes = list(_entries(sample, rows, facts))
            file.write(f"{',' if i else ''}\n{json.dumps(sample)}: {json.dumps(boxes)}")
        file.write("}}\n")
    return path


def check_split(tables: Path, split: str, samples: Collection[str]) -> None:
    """Check that the kit would score exactly these frames, and find the maps that it opens.

    Args:
        tables: Folder of the tables of one version, in the data root.
        split: As the kit calls it: one of its own, or one of ``splits.json`` beside the tables.
        samples: Sample tokens of the scored frames.

    Raises:
        UserError: The kit does not take this split with this version, its frames are others, or a
            map is not here.
    """
    _check_maps(tables)
    scenes = frozenset(_scenes(tables, split))
    tokens = dict(read_table(tables, "scene", lambda r: (r["name"], r["token"])))
    wanted = {tokens[name] for name in scenes if name in tokens}
    rows = read_table(
        tables, "sample", lambda r: r["token"] if r["scene_token"] in wanted else None
    )
    own, scored = frozenset(rows), frozenset(samples)
    if own != scored:
        raise UserError(
            tables,
            f'Of the {len(own)} frames of split "{split}", {len(own - scored)} are not scored, and '
            f"{len(scored - own)} of the scored ones are not of it.",
            "The official metric takes whole splits: score all frames of one. A part of the data "
            f"can be a split of its own, in {tables / SPLITS}.",
        )


def official_scores(
    tables: Path, split: str, results: Path, folder: Path, facts: DetectionFacts
) -> DetectionScores:
    """What the unmodified kit says of a result file.

    What it prints goes to ``devkit.log`` in `folder`, beside its ``metrics_summary.json`` and
    ``metrics_details.json``. If no frame has a box it raises instead of scoring; this case alone is
    given mAP 0 and NDS 0, with a note.

    Args:
        tables: Folder of the tables of one version, in the data root.
        split: See `check_split`, which must have passed.
        results: From `write_results`.
        folder: Where the kit may write.
        facts: The classes and the configuration of the metric.

    Raises:
        UserError: The kit cannot open this version.
    """
    from nuscenes import NuScenes
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    folder.mkdir(parents=True, exist_ok=True)
    with _quiet(folder / "devkit.log"):
        try:
            kit = NuScenes(tables.name, str(tables.parent), verbose=False)
        except (AssertionError, OSError) as error:
            what = f"The official kit does not open this version: {error}"
            how = "Get what it names: all tables, and the maps and label files that they list."
            raise UserError(tables, what, how) from error
        config = config_factory(facts.metric)
        try:
            judge = DetectionEval(kit, config, str(results), split, str(folder), verbose=False)
        except Exception as error:
            if str(error) != _NO_BOXES or _has_boxes(results):
                raise
            return _nothing(facts)
        return _read(judge.main(plot_examples=0, render_curves=False))


def judged(
    tables: Path,
    split: str,
    truth: DetectionTruth,
    found: GlobalBoxes,
    folder: Path,
    facts: DetectionFacts,
) -> Scores:
    """The official score of predictions, after checking it against ours.

    Args:
        tables: Folder of the tables of one version, in the data root.
        split: See `check_split`.
        truth: Of the scored frames.
        found: Predictions in them.
        folder: For the result file and what the kit writes.
        facts: The classes and how they count.

    Raises:
        UserError: The frames are not those of the split, or the kit cannot open the version.
        MetricsDisagree: The kit and our metric say different numbers.
    """
    check_split(tables, split, truth.samples)
    ours = detection_scores(truth, found, facts)
    results = write_results(found, truth, facts, folder)
    official = official_scores(tables, split, results, folder, facts)
    agree(ours, official)
    return detection_result(official, counted=ours)


def _entries(sample: str, boxes: GlobalBoxes, facts: DetectionFacts) -> Iterator[dict[str, Any]]:
    """The boxes of one frame as the kit reads them."""
    columns = (boxes.centre, boxes.size, boxes.rotation, boxes.velocity, boxes.label, boxes.score)
    rows = zip(*(column.tolist() for column in columns), boxes.attribute, strict=True)
    for centre, size, rotation, velocity, label, score, attribute in rows:
        yield {
            "sample_token": sample,
            "translation": centre,
            "size": size,
            "rotation": rotation,
            "velocity": velocity,
            "detection_name": facts.names[label],
            "detection_score": score,
            "attribute_name": attribute,
        }


def _scenes(tables: Path, split: str) -> list[str]:
    """Scene names of a split.

    Raises:
        UserError: The kit does not take it with this version.
    """
    if split in SUFFIX_OF:
        if not tables.name.endswith(SUFFIX_OF[split]):
            raise UserError(
                tables,
                f'The official kit scores "{split}" only where the version ends with '
                f'"{SUFFIX_OF[split]}".',
                f"List these scenes under another name in {tables / SPLITS}.",
            )
        from nuscenes.utils.splits import create_splits_scenes

        return list(create_splits_scenes()[split])
    path = tables / SPLITS
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(path, f"This is not JSON: {error}.", "Mend the file.") from error
    scenes = known.get(split) if isinstance(known, dict) else None
    if not isinstance(scenes, list):
        here = ", ".join(known) or "none"
        raise UserError(
            path,
            f'The official kit finds no list of scenes for split "{split}" here. Known: {here}.',
            f"Its own splits are {', '.join(SUFFIX_OF)}; others are lists of scenes in this file.",
        )
    return scenes


def _check_maps(tables: Path) -> None:
    """Check that every file of the map table is there, which nobody but the kit would miss.

    Raises:
        UserError: One is not.
    """
    named = read_table(tables, "map", lambda r: r["filename"])
    lost = [name for name in named if not (tables.parent / name).is_file()]
    if lost:
        raise UserError(
            tables.parent / lost[0],
            f"{len(lost)} of {len(named)} maps are not here, and the official kit opens them all.",
            "Unpack the folder maps/ of the metadata beside the tables.",
        )


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Keep what is printed inside for `log`."""
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    finally:
        log.write_text(said.getvalue(), encoding="utf-8")


def _has_boxes(results: Path) -> bool:
    """Whether any frame of a result file has a box."""
    return any(json.loads(results.read_text(encoding="utf-8"))["results"].values())


def _read(summary: dict[str, Any]) -> DetectionScores:
    """Our form of the kit's summary."""
    return DetectionScores(
        mean_ap=summary["mean_ap"],
        nds=summary["nd_score"],
        errors={name: summary["tp_errors"][f"{name}_err"] for name in ERRORS},
        ap={
            name: {f"{distance}": float(ap) for distance, ap in values.items()}
            for name, values in summary["label_aps"].items()
        },
        class_errors={
            name: {error: float(values[f"{error}_err"]) for error in ERRORS}
            for name, values in summary["label_tp_errors"].items()
        },
    )


def _nothing(facts: DetectionFacts) -> DetectionScores:
    """The score of nothing found."""
    return DetectionScores(
        mean_ap=0.0,
        nds=0.0,
        errors=dict.fromkeys(ERRORS, 1.0),
        ap={name: {f"{distance}": 0.0 for distance in DISTANCES_M} for name in facts.names},
        class_errors={
            one.name: {error: 1.0 if error in one.errors else np.nan for error in ERRORS}
            for one in facts.classes
        },
        note="No frame has a box, which the official kit does not score: mAP and NDS are 0.",
    )

"""The command line draws what the detectors of a suite found, and says what it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.splits import IncompleteData
from lima_bench.results.record import Record
from lima_bench.results.render.pages import styled
from lima_bench.results.store import Store
from lima_bench.suites.pictures.above import figure_above
from lima_bench.suites.pictures.looks import FOUND, TRUTH
from lima_bench.suites.pictures.marks import EDGES, entries_of, marks_of_found, marks_of_truth
from lima_bench.suites.pictures.sight import seen_edges
from lima_bench.suites.session import Request, open_session
from tests.suites.pictures.scenes import (
    CAPTION,
    CARD,
    FACTS,
    Call,
    as_page,
    on_map,
    pixels,
    truth_as_found,
    write,
)


@pytest.fixture
def finished(world: Path, tmp_path: Path, command_line: Call) -> tuple[Call, Path]:
    """A store in which two detectors of table 3 have found the truth; `command_line` to ask it."""
    request = Request(suite="table3", profile="smoke", only="random-*", store=tmp_path / "runs")
    session = open_session(request, write=True)
    store = Store.open(tmp_path / "runs")
    found = truth_as_found(next((world / "nuscenes").glob("v1.0-*")))
    for job in session.expansion.jobs.values():
        made = store.artifact(job.key)
        if job.stage == "world":
            made.parent.mkdir(parents=True, exist_ok=True)
            made.symlink_to(world)
        if job.stage == "detect":
            write(made / "results_nusc.json", found)
            own = {n: getattr(job, n) for n in ("key", "stage", "version", "config", "seed")}
            store.put(Record(**own, inputs=job.inputs, scores={"map": 100.0, "nds": 100.0}))
    return command_line, tmp_path


def test_export_draws_the_detectors_of_a_suite(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("export", "table3", "--profile", "smoke", "--only", "random-*")
    code, out, err = call(*words, "--figures", "f", "--frames", "1")
    assert (code, err) == (0, "")
    names = sorted(path.name for path in (folder / "f").iterdir())
    written = [Path(line.removeprefix("Written: ")).name for line in out.splitlines()]
    assert sorted(written) == names
    pictures = [name for name in names if "random-" in name]
    assert len(pictures) == 2 * 3
    assert pictures[0].startswith("table3.smoke.random-centerpoint.nuscenes-20%.scene-")
    (above, _) = (folder / "f" / name for name in pictures if name.endswith("above.png"))
    assert len(pixels(above.read_bytes(), FOUND)) > 50
    narrow = ("--only", "random-second", "--columns", "20%-nds")  # no curves
    call(*words[:4], *narrow, "--figures", "g", "--frames", "1")
    again = {path.name: path.read_bytes() for path in (folder / "g").iterdir()}
    assert len(again) == 3
    assert all((folder / "f" / name).read_bytes() == page for name, page in again.items())


def test_a_threshold_above_all_scores_draws_truth_alone(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("--only", "random-second", "--columns", "5%-map", "--frames", "1", "--score", "0.95")
    assert call("export", "table3", "--profile", "smoke", *words, "--figures", "f")[0] == 0
    (above,) = (folder / "f").glob("*nuscenes-5%*.above.png")
    assert not len(on_map(pixels(above.read_bytes(), FOUND)))
    assert len(on_map(pixels(above.read_bytes(), TRUTH)))


def test_what_is_gone_is_said(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("export", "table3", "--profile", "smoke", "--only", "random-second", "--figures", "f")
    for path in (folder / "runs").rglob("results_nusc.json"):
        path.unlink()
    code, out, err = call(*words, "--columns", "20%-map")
    assert code == 0 and "random-second" not in out
    assert "Not drawn: Random, SECOND, 20% of nuscenes: its boxes are gone" in err


@pytest.mark.parametrize("words", [("--score", "1.5"), ("--score", "-1"), ("--frames", "0")])
def test_numbers_that_mean_nothing_are_refused(finished: tuple[Call, Path], words) -> None:
    code, _, err = finished[0]("export", "table3", "--profile", "smoke", "--figures", "f", *words)
    assert code == 2 and words[0] in err


def test_a_real_keyframe(samples: Path, tmp_path: Path) -> None:
    root, reader = samples / "nuscenes" / "frame_ca9a282c", NuScenes()
    with pytest.warns(IncompleteData):
        (frame,) = reader.frames(root, "mini_train")
    path = write(tmp_path / "r.json", truth_as_found(next(root.glob("v1.0-*"))))
    sample = reader.load(frame)
    truth = marks_of_truth(sample.boxes, FACTS)
    entries = entries_of(path, [frame.alias])[frame.alias]
    found = marks_of_found(entries, sample.lidar_to_global, FACTS, 0.3, path)
    assert len(found) == len(truth) == 68
    np.testing.assert_allclose(
        found.middle[found.middle[:, 0].argsort()],
        truth.middle[truth.middle[:, 0].argsort()],
        atol=1e-6,
    )
    ends = np.concatenate([found.corners[:, EDGES]]).reshape(-1, 2, 3)
    shown = [seen_edges(ends, sample.lidar_to_global, one)[1].sum() for one in sample.cameras]
    assert min(shown) >= 12
    small = replace(sample, points=sample.points[:100])
    with styled():
        assert len(as_page(figure_above(small, CARD, truth, found, CAPTION))) > 20_000

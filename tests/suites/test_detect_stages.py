"""Detection as a suite asks for it: real jobs of both heads on a world of a few frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lima_bench.suites.executors.inline import InlineExecutor
from lima_bench.suites.pictures.detections import draw_detections
from lima_bench.suites.progress import Silent
from lima_bench.suites.run import Setup, execute
from lima_bench.suites.session import Request, Session, open_session
from lima_bench.suites.stages import STAGE_FUNCTIONS
from lima_bench.suites.tables import table_of

WORLD = {
    "seed": 5,
    "nuscenes": {
        "train_scenes": 5,  # of which 20 % is one
        "train_keyframes": 2,
        "pretrain_scenes": 0,
        "val_scenes": 1,
        "val_keyframes": 1,
        "azimuths": 120,
    },
}
BEV = "{widths: [8, 8], layers: [0, 0], neck: 8}"
SETS = (
    f"profile.data.settings={json.dumps(WORLD)}",
    *(f"{kind}.bev={BEV}" for kind in ("centerpoint", "second")),
    *(f"{kind}.length.steps=2" for kind in ("centerpoint", "second")),
)
ROWS = ("random-centerpoint", "random-second")


def session_at(store: Path) -> Session:
    request = Request(
        suite="table3",
        profile="smoke",
        only=",".join(ROWS),
        columns="20%-map,20%-nds",
        store=store,
        sets=SETS,
    )
    return open_session(request, write=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose jobs are all done."""
    session = session_at(tmp_path_factory.mktemp("detect") / "store")
    setup = Setup(session.store, STAGE_FUNCTIONS, session.code)
    report = execute(session.plan(), setup, InlineExecutor(), Silent())
    assert not report.failed, next(iter(report.failed.values())).message
    return session


def test_every_cell_has_both_scores_of_one_job(finished: Session) -> None:
    plan = finished.plan()
    assert plan.todo == []
    records = [record for record in plan.records.values() if record.stage == "detect"]
    assert {record.config["detector"] for record in records} == {"centerpoint", "second"}
    assert len(records) == 2
    for record in records:
        assert 0 <= record.scores["map"] <= 100 and 0 <= record.scores["nds"] <= 100
        assert (record.details["train_frames"], record.details["val_frames"]) == (2, 1)
        assert record.details["steps"] == 2
        assert len(record.details["label_share"]) == 64
    table = table_of(finished, plan)
    assert [row.group for row in table.rows] == [
        "VoxelNet-tiny + CenterPoint",
        "VoxelNet-tiny + SECOND",
    ]
    assert all(
        table.cells[row, f"20%-{name}"].mean is not None for row in ROWS for name in ("map", "nds")
    )


def test_the_scored_boxes_lie_in_the_store_and_are_drawn(finished: Session, tmp_path: Path) -> None:
    for record in finished.plan().records.values():
        if record.stage == "detect":
            path = finished.store.artifact(record.key) / "results_nusc.json"
            assert len(json.loads(path.read_text())["results"]) == 1
    drawn = draw_detections(finished, tmp_path, n_frames=1)
    assert drawn.notes == () and len(drawn.paths) == 2 * 3
    assert all(path.stat().st_size > 1000 for path in drawn.paths)


def test_detectors_are_listed(command_line: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command_line("list", "detectors")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["centerpoint", "CenterPoint"],
        ["second", "SECOND"],
    ]

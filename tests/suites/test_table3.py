"""Table 3: its rows and columns are the paper's, its jobs are shared, and holes say why."""

from __future__ import annotations

from collections import Counter

import pytest

from lima_bench.common.errors import UserError
from lima_bench.results.reference import read_published, references
from lima_bench.results.table import ColumnMeta, RowMeta
from lima_bench.suites.chain import Identity
from lima_bench.suites.expand import Expansion
from lima_bench.suites.known import Known, gather

FILES = Identity(manifests={"nuscenes": "files of nuscenes"})


@pytest.fixture(scope="module")
def everything() -> Known:
    return gather()


def stages(expansion: Expansion) -> dict[str, int]:
    return dict(Counter(job.stage for job in expansion.jobs.values()))


def test_both_detectors_share_one_pretraining_per_method(expanded, everything: Known) -> None:
    table = expanded("table3", "embedded", everything)
    assert (len(table.rows), len(table.columns)) == (14, 6)
    assert not any(cell.missing for cell in table.cells)
    found = stages(table)
    assert (found["pretrain"], found["detect"]) == (8, 14 * 3)
    of = {(cell.row, cell.column): cell.jobs[0] for cell in table.cells}
    for row in table.rows:
        for share in ("5%", "10%", "20%"):
            assert of[row.row.id, f"{share}-map"] == of[row.row.id, f"{share}-nds"]
    detectors = Counter(
        job.config["detector"] for job in table.jobs.values() if job.stage == "detect"
    )
    assert detectors == {"centerpoint": 24, "second": 18}


def test_shares_are_those_of_detection(expanded, everything: Known) -> None:
    table = expanded("table3", "embedded", everything)
    labels = [job.config["labels"] for job in table.jobs.values() if job.stage == "detect"]
    assert {one["convention"] for one in labels} == {"detection-scene"}
    assert {one["share"] for one in labels} == {"5%", "10%", "20%"}


def test_every_published_number_has_its_cell(expanded, everything: Known) -> None:
    table = expanded("table3", "paper", everything, identity=FILES)
    rows = [
        RowMeta(
            id=row.row.id,
            title=row.title,
            method=row.row.method,
            teacher=row.teacher,
            student=row.student,
        )
        for row in table.rows
    ]
    columns = [
        ColumnMeta(
            id=column.id,
            title="",
            dataset="nuscenes",
            setting=column.labels,
            metric=column.metric,
        )
        for column in table.columns
    ]
    found = references(read_published("table3"), rows, columns)
    assert len(found) == len(read_published("table3")) == 80
    assert found["lima-vit_b-second", "20%-nds"].value == 59.5
    # PointContrast and GCC-3D are printed without 20 %.
    assert ("gcc3d-centerpoint", "20%-map") not in found
    assert {student for student in (row.student for row in table.rows)} == {
        "voxelnet+centerpoint",
        "voxelnet+second",
    }


ONE = (
    "schema: 1\nname: s\ntitle: t\ndefaults: {{pretrain_on: nuscenes}}\n"
    "rows:\n  - {{id: r, method: random{row}}}\n"
    "columns:\n  - {{id: c, task: detect, on: {on}, labels: 5%}}\n"
)


@pytest.mark.parametrize(
    ("row", "on", "reason"),
    [
        (", detector: second", "nuscenes", "no bird's-eye map: minkunet_tiny"),
        (", student: voxelnet", "nuscenes", "no detector: neither the row nor the suite"),
        (", student: voxelnet, detector: second", "nuscenes", "no recipe: its recipe set asks no"),
        (", recipes: detection, detector: second", "waymo", "no boxes: no card says what a"),
        (", recipes: detection, detector: second", "nuscenes", ""),
    ],
)
def test_holes_say_why(tmp_path, expanded, everything: Known, row, on, reason) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(ONE.format(row=row, on=on))
    (cell,) = expanded(str(file), "embedded", everything).cells
    assert cell.missing.startswith(reason)
    assert bool(cell.missing) == bool(reason)


def test_a_planned_encoder_is_a_hole_and_breaks_no_table(tmp_path, command_line) -> None:
    row = ", student: spvcnn, recipes: detection, detector: second"
    text = ONE.format(row=row, on="nuscenes") + "table: {group_rows: detector}\n"
    (tmp_path / "s.yaml").write_text(text)
    code, out, err = command_line("show", "s.yaml", "--profile", "smoke")
    assert (code, err) == (0, "") and "not built yet: backbone spvcnn" in out


def test_the_default_score_of_detection_is_map(tmp_path, expanded, everything: Known) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(ONE.format(row="", on="nuscenes"))
    (column,) = expanded(str(file), "embedded", everything).columns
    assert column.metric == "map"


def test_a_mistyped_detector_is_named(tmp_path, expanded, everything: Known) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(ONE.format(row=", detector: centrepoint", on="nuscenes"))
    with pytest.raises(UserError, match='Did you mean "centerpoint"'):
        expanded(str(file), "embedded", everything)

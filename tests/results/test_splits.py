import pytest

from lima_bench.results.build import Outcome
from lima_bench.results.render.csv import COLUMNS, to_csv
from lima_bench.results.splits import build_splits, split_title
from lima_bench.results.table import Footer, RowMeta
from lima_bench.results.verdict import State

LIMA, SCALR, SEAL = (
    RowMeta(id=i, title=i, method=i, teacher="tiny") for i in ("lima", "scalr", "seal")
)


def build(outcomes, differences=(("lima", "scalr"),), **more):
    return build_splits(
        rows=[LIMA, SCALR, SEAL], outcomes=outcomes, dataset="nuscenes", setting="LP",
        suite="table1", profile="embedded", footer=Footer(version="0"), differences=differences,
        **more,
    )  # fmt: skip


OUTCOMES = {
    ("lima", "miou_unseen"): Outcome(values={0: 30.0, 1: 41.0, 5: 99.0}),
    ("scalr", "miou_unseen"): Outcome(values={0: 29.0, 1: 39.0}),
    ("lima", "miou_seen"): Outcome(values={0: 30.0}, state=State.STALE, reason="code"),
    ("scalr", "miou_seen"): Outcome(values={0: 31.0}),
}


def test_differences_are_paired_and_signed():
    table = build(OUTCOMES)
    assert [row.id for row in table.rows] == ["lima", "scalr", "lima - scalr"]
    assert [column.id for column in table.columns] == ["miou_unseen", "miou_seen"]
    cell = table.cells["lima - scalr", "miou_unseen"]
    assert dict(cell.values) == {0: 1.0, 1: 2.0}
    assert (cell.mean, cell.n) == (1.5, 2)
    assert not cell.best


def test_a_difference_is_as_stale_as_its_rows():
    cell = build(OUTCOMES).cells["lima - scalr", "miou_seen"]
    assert (cell.mean, cell.state, cell.reason) == (-1.0, State.STALE, "code")


def test_a_difference_with_a_hole_is_a_hole():
    table = build({**OUTCOMES, ("scalr", "miou_far"): Outcome(values={0: 1.0})})
    cell = table.cells["lima - scalr", "miou_far"]
    assert (cell.mean, cell.state) == (None, State.MISSING)
    apart = build(
        {("lima", "miou"): Outcome(values={0: 1.0}), ("scalr", "miou"): Outcome(values={1: 1.0})}
    )
    assert apart.cells["lima - scalr", "miou"].reason == "the two rows share no seed"


def test_differences_of_absent_rows_are_left_out():
    table = build(OUTCOMES, differences=(("lima", "seal"), ("lima", "nobody")))
    assert [row.id for row in table.rows] == ["lima", "scalr"]


def test_columns_stand_by_camera_then_motion_then_range():
    met = ("miou_40m_up", "miou_0_20m", "miou_moving", "miou_unseen", "miou_seen")
    table = build({("lima", metric): Outcome(values={0: 1.0}) for metric in met})
    ids = [column.id for column in table.columns]
    assert ids == ["miou_unseen", "miou_seen", "miou_moving", "miou_40m_up", "miou_0_20m"]


def test_nothing_to_split():
    assert build({}) is None
    assert build({("lima", "miou_seen"): Outcome(state=State.MISSING)}) is None


@pytest.mark.parametrize(
    ("metric", "group", "title"),
    [
        ("miou_unseen", "camera", "unseen"),
        ("miou_static", "motion", "static"),
        ("miou_0_20m", "range", "0 to 20 m"),
        ("miou_range_20_40", "range", "20 to 40 m"),
        ("miou_40m_up", "range", "over 40 m"),
        ("miou_40m_inf", "range", "over 40 m"),
        ("miou_far_away", "", "far away"),
        ("miou", "", "miou"),
    ],
)
def test_titles(metric, group, title):
    assert split_title(metric) == (group, title)


def test_csv_has_the_same_columns_and_the_metric_tells_the_part(table):
    lines = [line.split(",") for line in to_csv(table.splits).splitlines()]
    assert tuple(lines[0]) == COLUMNS
    unseen = [line for line in lines if line[0] == "lima" and line[8] == "miou_unseen"]
    assert [line[5:8] for line in unseen] == [["miou_unseen", "nuscenes", "LP"]]
    assert [line[0] for line in lines[-6:]] == ["lima - scalr"] * 6

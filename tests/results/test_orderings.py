import pytest

from lima_bench.results.build import Outcome, build_table
from lima_bench.results.orderings import Claim, check_orderings, read_claims, summary
from lima_bench.results.reference import read_published
from lima_bench.results.table import ColumnMeta, Footer, RowMeta
from lima_bench.results.verdict import State

LP = ColumnMeta(id="lp", title="LP", dataset="nuscenes", setting="LP")
LIMA_FIRST = Claim("lima", "scalr", "nuscenes", "LP", "miou", "LiMA beats ScaLR", "paper")
ALL_FIRST = Claim("*", "random", "nuscenes", "LP", "miou", "all beat random", "paper")


def row(method, teacher="", **more):
    return RowMeta(id=method + teacher, title=method, method=method, teacher=teacher, **more)


def check(claim, given, column=LP):
    rows = [r for r, _ in given]
    outcomes = {
        (r.id, column.id): o if isinstance(o, Outcome) else Outcome(values=dict(enumerate(o)))
        for r, o in given
    }
    table = build_table(
        title="", suite="", profile="", rows=rows, columns=[column], outcomes=outcomes,
        footer=Footer(version="0"),
    )  # fmt: skip
    (ordering,) = check_orderings(table, [claim])
    return ordering


@pytest.mark.parametrize(
    ("lima", "scalr", "outcome"),
    [
        ((10.0, 20.0, 30.0), (9.0, 19.1, 28.9), "holds"),
        ((10.0, 10.0, 13.0), (9.9, 10.2, 10.0), "leans"),
        ((10.0,), (9.0,), "leans"),
        ((9.0, 9.0), (10.0, 10.0), "fails"),
        ((9.0, 9.0), (9.0, 9.0), "fails"),
        ((), (9.0,), "untested"),
    ],
)
def test_outcomes(lima, scalr, outcome):
    given = [(row("lima", "tiny"), lima), (row("scalr", "tiny"), scalr)]
    given = [(r, o or Outcome(state=State.MISSING)) for r, o in given]
    assert check(LIMA_FIRST, given).outcome == outcome


def test_rows_are_compared_within_a_teacher_and_the_weakest_decides():
    given = [
        (row("lima", "vit_s"), (50.0, 50.1)),
        (row("scalr", "vit_s"), (40.0, 40.1)),
        (row("lima", "vit_b"), (45.0, 45.1)),
        (row("scalr", "vit_b"), (46.0, 46.1)),
    ]
    ordering = check(LIMA_FIRST, given)
    assert ordering.outcome == "fails"
    assert ordering.detail == "lima (vit_b) − scalr: −1.00 ± 0.00, 2 seeds"


def test_everything_is_compared_with_random_but_controls_and_limited_runs():
    given = [
        (row("random"), (10.0, 10.1)),
        (row("lima", "tiny"), (20.0, 20.1)),
        (row("scalr", "random_teacher", control=True), (5.0, 5.1)),
        (row("slidr", "tiny"), Outcome(values={0: 1.0}, state=State.LIMITED, reason="r")),
    ]
    assert check(ALL_FIRST, given).outcome == "holds"
    worse = [*given, (row("seal", "tiny"), (9.0, 9.1))]
    assert check(ALL_FIRST, worse).outcome == "fails"


def test_students_are_not_mixed():
    given = [
        (row("lima", "tiny", student="frnet"), (50.0, 50.1)),
        (row("scalr", "tiny", student="minkunet34"), (40.0, 40.1)),
    ]
    assert check(LIMA_FIRST, given).outcome == "untested"


def test_another_column_proves_nothing():
    other = ColumnMeta(id="x", title="", dataset="nuscenes", setting="1%")
    given = [(row("lima"), (50.0, 50.1)), (row("scalr"), (40.0, 40.1))]
    assert check(LIMA_FIRST, given, other).outcome == "untested"


def test_every_stored_claim_is_true_of_the_published_table():
    numbers = read_published("table1")
    rows = {r.id: r for r in (row(n.method, n.teacher, student=n.student) for n in numbers)}
    columns = {
        n.dataset + n.setting: ColumnMeta(
            id=n.dataset + n.setting, title="", dataset=n.dataset, setting=n.setting
        )
        for n in numbers
    }
    outcomes = {
        (n.method + n.teacher, n.dataset + n.setting): Outcome(values={0: n.value, 1: n.value})
        for n in numbers
    }
    table = build_table(
        title="", suite="", profile="", rows=list(rows.values()), columns=list(columns.values()),
        outcomes=outcomes, footer=Footer(version="0"),
    )  # fmt: skip
    orderings = check_orderings(table, read_claims())
    assert len(orderings) == 15
    assert {o.text: o.outcome for o in orderings if o.outcome != "holds"} == {}


def test_summary(table):
    outcomes = [o.outcome for o in table.orderings]
    assert outcomes.count("holds") == 8
    assert summary(table.orderings) == (
        "Published orderings that hold here: 8 of 8 (7 more wait for numbers)."
    )
    assert summary([]) == ""
    assert summary([check(LIMA_FIRST, [(row("lima"), (2.0,)), (row("scalr"), (1.0,))])]) == (
        "Published orderings that hold here: 1 of 1 (1 of them within the spread over seeds)."
    )

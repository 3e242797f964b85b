"""Building tables: flags, best cells, partial seeds, averages, mixtures."""

import pytest

from lima_bench.results.build import Outcome, Reference, Rules, build_table, with_average
from lima_bench.results.table import ColumnMeta, Footer, RowMeta
from lima_bench.results.verdict import State, Verdict, exit_code

A, B, C = (
    RowMeta(id=i, title=i.upper(), method=i, group=g) for i, g in zip("abc", "xxy", strict=True)
)
LP = ColumnMeta(id="lp", title="LP", dataset="nuscenes", setting="LP")
ONE = ColumnMeta(id="1%", title="1%", dataset="nuscenes", setting="1%")
HOURS = ColumnMeta(id="hours", title="Hours", metric="wall_hours", better="lower")


def scores(*values):
    return Outcome(values=dict(enumerate(values)))


def build(outcomes, rows=(A, B, C), columns=(LP,), **more):
    given = {(row, column): outcome for row, column, outcome in outcomes}
    return build_table(
        title="T",
        suite="s",
        profile="p",
        rows=rows,
        columns=columns,
        outcomes=given,
        footer=Footer(version="0"),
        **more,
    )


def best(table):
    return {(cell.row, cell.column) for _, _, cell in table if cell.best}


class TestCells:
    def test_every_pair_has_a_cell(self):
        table = build([("a", "lp", scores(1.0, 3.0))], columns=(LP, ONE))
        assert len(list(table)) == 6
        cell = table.cell(A, LP)
        assert (cell.mean, cell.std, cell.n) == (2.0, pytest.approx(2**0.5), 2)
        hole = table.cell(B, ONE)
        assert (hole.mean, hole.verdict, hole.reason) == (None, Verdict.MISSING, "not run yet")

    def test_reference_and_its_own_tolerance(self):
        outcomes = [("a", "lp", scores(50.0)), ("b", "lp", scores(50.0))]
        references = {
            ("a", "lp"): Reference(value=52.0, source="paper"),
            ("b", "lp"): Reference(value=52.0, tolerance=3.0),
        }
        table = build(outcomes, references=references, rules=Rules(tolerance=1.0))
        assert table.cell(A, LP).verdict is Verdict.BELOW
        assert table.cell(A, LP).reference_source == "paper"
        assert table.cell(B, LP).verdict is Verdict.REPRODUCED

    def test_flags(self):
        made = RowMeta(id="a", title="A", method="a", reconstruction=True)
        column = ColumnMeta(id="lp", title="LP", assumed=True)
        outcome = Outcome(values={0: 1.0}, state=State.STALE, reason="code\n changed")
        cell = build([("a", "lp", outcome)], (made,), (column,), seeds=(0, 1)).cell(made, column)
        assert cell.flags == ("assumed", "partial", "reconstruction", "stale")
        assert cell.reason == "code changed"
        assert cell.verdict is Verdict.STALE

    def test_a_cell_without_all_its_seeds_is_missing_though_shown(self):
        given = Outcome(values={0: 50.0, 2: 50.0})
        references = {("a", "lp"): Reference(value=50.0)}
        cell = build([("a", "lp", given)], seeds=(0, 1, 2), references=references).cell(A, LP)
        assert (cell.mean, cell.flags, cell.verdict) == (50.0, ("partial",), Verdict.MISSING)
        assert cell.reason == "seed 1 not run yet"

    def test_a_reported_row_keeps_its_reference(self):
        row = RowMeta(id="a", title="A", method="a", reported_only=True)
        references = {("a", "lp"): Reference(value=50.0)}
        cell = build([], (row,), references=references).cell(row, LP)
        assert (cell.state, cell.reference, cell.mean) == (State.REPORTED, 50.0, None)
        assert cell.flags == ("reported",)
        assert "published only" in cell.reason

    def test_what_cannot_run_here_is_not_judged(self):
        reported = RowMeta(id="c", title="C", method="c", reported_only=True)
        unbuilt = Outcome(state=State.UNAVAILABLE, reason="not built")
        outcomes = [("a", "lp", scores(50.0)), ("b", "lp", unbuilt)]
        table = build(outcomes, (A, B, reported), references={("a", "lp"): Reference(value=50.0)})
        assert table.judged() == (Verdict.REPRODUCED,)
        assert exit_code(table.judged()) == 0
        waiting = build(outcomes[1:], (A, B, reported))
        assert exit_code(waiting.judged()) == 4

    def test_done_without_values_is_a_mistake(self):
        with pytest.raises(ValueError, match="done"):
            build([("a", "lp", Outcome())])

    def test_mixed_environments_are_told(self):
        mixed = [
            ("a", "lp", Outcome(values={0: 1.0}, environment="H100, bf16")),
            ("b", "lp", Outcome(values={0: 1.0}, environment="CPU, fp32")),
            ("a", "1%", Outcome(values={0: 1.0}, environment="CPU, fp32")),
        ]
        table = build(mixed, columns=(LP, ONE), notes=["given"])
        assert table.notes == ("given", "Column LP mixes numbers made on CPU, fp32 and H100, bf16.")


class TestBest:
    def test_bold_needs_a_gap_wider_than_both_spreads(self):
        clear = [("a", "lp", scores(50, 50.2)), ("b", "lp", scores(49, 49.2))]
        assert best(build(clear)) == {("a", "lp")}
        close = [("a", "lp", scores(50, 51)), ("b", "lp", scores(49, 50))]
        assert best(build(close)) == set()

    def test_a_single_seed_is_never_best_nor_beaten(self):
        assert best(build([("a", "lp", scores(50)), ("b", "lp", scores(1))])) == set()
        assert best(build([("a", "lp", scores(50, 50)), ("b", "lp", scores(1))])) == set()

    def test_a_row_without_rivals_is_not_best(self):
        assert best(build([("a", "lp", scores(50, 50.1))])) == set()

    def test_a_wide_spread_further_down_counts_too(self):
        outcomes = [
            ("a", "lp", scores(50, 50.1)),
            ("b", "lp", scores(48, 48.1)),
            ("c", "lp", scores(40, 55)),
        ]
        assert best(build(outcomes)) == set()

    def test_within_groups(self):
        outcomes = [
            ("a", "lp", scores(10, 10.1)),
            ("b", "lp", scores(20, 20.1)),
            ("c", "lp", scores(90, 90.1)),
        ]
        assert best(build(outcomes)) == {("c", "lp")}
        assert best(build(outcomes, rules=Rules(bold="best-in-group"))) == {("b", "lp")}
        assert best(build(outcomes, rules=Rules(bold="none"))) == set()

    def test_lower_is_better_for_costs(self):
        outcomes = [("a", "hours", scores(9, 9.1)), ("b", "hours", scores(5, 5.1))]
        assert best(build(outcomes, columns=(HOURS,))) == {("b", "hours")}

    @pytest.mark.parametrize("state", [State.LIMITED, State.STALE])
    def test_only_finished_cells_win(self, state):
        outcomes = [
            ("a", "lp", Outcome(values={0: 50.0, 1: 50.1}, state=state, reason="r")),
            ("b", "lp", scores(40, 40.1)),
        ]
        assert best(build(outcomes)) == set()

    def test_controls_and_differences_do_not_compete(self):
        control = RowMeta(id="c", title="C", method="c", control=True)
        change = RowMeta(id="d", title="A − B", difference=True)
        outcomes = [
            ("a", "lp", scores(50, 50.1)),
            ("b", "lp", scores(40, 40.1)),
            ("c", "lp", scores(60, 60.1)),
            ("d", "lp", scores(10, 10.0)),
        ]
        assert best(build(outcomes, rows=(A, B, control, change))) == {("a", "lp")}


class TestAverage:
    OUTCOMES = (
        ("a", "lp", scores(10.0, 20.0)),
        ("a", "1%", scores(30.0, 20.0)),
        ("b", "lp", scores(10.0, 20.0)),
    )

    def test_of_whole_rows_seed_by_seed(self):
        table = with_average(build(self.OUTCOMES, (A, B), (LP, ONE)))
        cell = table.cells["a", "average"]
        assert (cell.mean, cell.std, cell.n) == (20.0, 0.0, 2)
        assert [column.id for column in table.columns] == ["lp", "1%", "average"]

    def test_never_over_a_hole(self):
        cell = with_average(build(self.OUTCOMES, (A, B), (LP, ONE))).cells["b", "average"]
        assert (cell.mean, cell.verdict) == (None, Verdict.MISSING)
        assert "holes" in cell.reason

    def test_is_as_stale_as_its_columns(self):
        old = Outcome(values={0: 30.0, 1: 20.0}, state=State.STALE, reason="code")
        outcomes = [("a", "lp", scores(10.0, 20.0)), ("a", "1%", old)]
        cell = with_average(build(outcomes, (A,), (LP, ONE))).cells["a", "average"]
        assert (cell.mean, cell.state, cell.reason) == (20.0, State.STALE, "code")

    def test_over_some_columns(self):
        table = with_average(build(self.OUTCOMES, (A, B), (LP, ONE)), over=["lp"])
        assert table.cells["b", "average"].mean == 15.0

    def test_never_over_partial_cells(self):
        outcomes = [("a", "lp", scores(1.0, 2.0)), ("a", "1%", scores(1.0))]
        table = with_average(build(outcomes, (A,), (LP, ONE), seeds=(0, 1)))
        assert table.cells["a", "average"].mean is None

    def test_never_over_different_metrics(self):
        with pytest.raises(ValueError, match="one metric"):
            with_average(build([], (A,), (LP, HOURS)))

import pytest

from lima_bench.common.errors import UserError
from lima_bench.results.build import Outcome, build_table
from lima_bench.results.golden_files import read_golden, strays, to_golden, write_golden
from lima_bench.results.table import ColumnMeta, Footer, RowMeta
from lima_bench.results.verdict import State, Verdict, exit_code

ROWS = [RowMeta(id=i, title=i, method=i) for i in ("random", "lima", "seal", "scalr")]
LP = ColumnMeta(id="lp", title="LP")
OUTCOMES = {
    ("random", "lp"): Outcome(values={0: 10.1, 1: 11.3}),
    ("lima", "lp"): Outcome(values={0: 1 / 3, 1: 1 / 3}),
    ("seal", "lp"): Outcome(state=State.UNAVAILABLE, reason="not built"),
    ("scalr", "lp"): Outcome(values={0: 20.0, 1: 20.0}, state=State.STALE, reason="code"),
}


def build(outcomes=OUTCOMES, references=None):
    return build_table(
        title="T", suite="table1", profile="smoke", rows=ROWS, columns=[LP], outcomes=outcomes,
        footer=Footer(version="0"), seeds=(0, 1), references=references,
    )  # fmt: skip


def test_what_was_written_is_reproduced(tmp_path):
    write_golden(build(), tolerance=0.5, folder=tmp_path)
    golden = read_golden("table1", "smoke", tmp_path)
    assert set(golden) == {("random", "lp"), ("lima", "lp")}
    assert golden["lima", "lp"].value == 1 / 3
    assert golden["random", "lp"].tolerance == pytest.approx(2 * golden["random", "lp"].std)
    again = build({k: OUTCOMES[k] for k in OUTCOMES if k[0] != "scalr"}, golden)
    assert again.cells["random", "lp"].verdict is Verdict.REPRODUCED
    assert again.cells["lima", "lp"].verdict is Verdict.REPRODUCED


def test_a_changed_number_fails_the_check(tmp_path):
    write_golden(build(), tolerance=0.5, folder=tmp_path)
    golden = read_golden("table1", "smoke", tmp_path)
    changed = build({**OUTCOMES, ("lima", "lp"): Outcome(values={0: 1.0, 1: 1.0})}, golden)
    assert changed.cells["lima", "lp"].verdict is Verdict.ABOVE
    assert exit_code(changed.judged()) == 1


def test_header_and_tolerance_floor():
    lines = to_golden(build(), tolerance=0.5).splitlines()
    assert lines[0] == "row,column,value,std,n_seeds,tolerance"
    assert lines[2] == "lima,lp,0.3333333333333333,0.0,2,0.5"


def test_cells_without_all_their_seeds_stay_out():
    half = {**OUTCOMES, ("lima", "lp"): Outcome(values={0: 1.0})}
    assert "lima" not in to_golden(build(half), tolerance=0.5)


def test_no_file_is_no_reference(tmp_path):
    assert read_golden("table1", "smoke", tmp_path) == {}


def test_nothing_finished_is_refused():
    with pytest.raises(UserError, match="No cell of the table is finished"):
        to_golden(build({}), tolerance=0.5)


def test_a_smaller_table_does_not_replace_a_larger_one(tmp_path):
    path = write_golden(build(), tolerance=0.5, folder=tmp_path)
    before = path.read_text()
    less = {("lima", "lp"): OUTCOMES["lima", "lp"]}
    with pytest.raises(UserError, match="no finished number for 1 cells"):
        write_golden(build(less), tolerance=0.5, folder=tmp_path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("row,column,value\n", 1),
        ("row,column,value,std,n_seeds,tolerance\na,lp,1.0,,1,0.5\nb,lp,x,,1,0.5\n", 3),
        ("row,column,value,std,n_seeds,tolerance\na,lp,1.0\n", 2),
    ],
)
def test_damaged_file_names_the_line(tmp_path, text, line):
    (tmp_path / "table1.smoke.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        read_golden("table1", "smoke", tmp_path)
    assert caught.value.where.endswith(f"table1.smoke.csv:{line}")


def test_renamed_rows_are_noticed(tmp_path):
    write_golden(build(), tolerance=0.5, folder=tmp_path)
    golden = read_golden("table1", "smoke", tmp_path)
    assert strays(golden, build()) == []
    assert strays({**golden, ("lyma", "lp"): golden["lima", "lp"]}, build()) == [("lyma", "lp")]

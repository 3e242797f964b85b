"""Costs are shown in a unit in which they are well read, in every view; data never changes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from lima_bench.results.build import Outcome, Reference, build_table
from lima_bench.results.golden_files import to_golden
from lima_bench.results.junit import to_junit
from lima_bench.results.render.csv import to_csv
from lima_bench.results.render.html import to_html
from lima_bench.results.render.latex import to_latex
from lima_bench.results.render.markdown import to_markdown
from lima_bench.results.render.terminal import to_text
from lima_bench.results.table import ColumnMeta, Costs, Footer, RowMeta
from lima_bench.results.units import UNITS, fitted
from lima_bench.results.verdict import State, Verdict, exit_code
from lima_bench.results.view import printed, view

HOURS = ColumnMeta(
    id="hours", title="time", metric="wall_hours_with_shared", better="lower",
    quantity="hours", unit="auto", decimals=None,
)  # fmt: skip
MEMORY = replace(HOURS, id="memory", title="memory", metric="peak_memory_gb", quantity="gigabytes")
LP = ColumnMeta(id="lp", title="LP", dataset="nuscenes", setting="LP")
ROWS = [RowMeta(id=f"lima-{n}", title=f"LiMA, {n} frames", frames=n) for n in (5, 6)]
TEXTS = {
    "latex": to_latex,
    "markdown": lambda table: to_markdown(table).replace("\\", ""),
    "html": to_html,
    "terminal": lambda table: to_text(table, width=160),
}


def build(hours=(0.031, 0.0334), state=State.DONE, references=None, against=""):
    outcomes = {}
    for row, value in zip(ROWS, hours, strict=True):
        outcomes[row.id, "hours"] = Outcome(
            values={0: value}, state=state, reason="why" * (state is not State.DONE)
        )
        outcomes[row.id, "memory"] = Outcome(values={0: 0.614 + value})
        outcomes[row.id, "lp"] = Outcome(values={0: 40.0})
    return build_table(
        title="T", suite="efficiency", profile="embedded", rows=ROWS, columns=[HOURS, MEMORY, LP],
        outcomes=outcomes, footer=Footer(version="0"), references=references, against=against,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "values", "unit", "texts"),
    [
        ("hours", [17.9, 10.1], "h", ["17.9", "10.1"]),
        ("hours", [0.031, 0.0334], "min", ["1.86", "2.00"]),
        ("hours", [0.5, 120.0], "min", ["30.0", "7200.0"]),
        ("hours", [0.0041], "s", ["14.8"]),
        ("hours", [1e-5], "s", ["0.0360"]),
        ("hours", [], "h", []),
        ("hours", [0.0], "h", ["0.00"]),
        ("hours", [2000.0], "h", ["2000"]),
        ("seconds", [0.08, 0.1], "ms", ["80.0", "100.0"]),
        ("seconds", [3.0, 90.0], "s", ["3.00", "90.00"]),
        ("gigabytes", [0.614, 1.0], "GB", ["0.61", "1.00"]),
        ("gigabytes", [29.07], "GB", ["29.07"]),
        ("gigabytes", [0.0421], "MB", ["42.1"]),
    ],
)
def test_the_unit_fits_the_smallest_number(quantity, values, unit, texts):
    column = fitted(replace(HOURS, quantity=quantity), values)
    assert column.unit == unit
    assert [printed(column, value) for value in values] == texts
    assert column.scale == UNITS[quantity][unit]


def test_what_a_suite_states_stands():
    column = fitted(replace(HOURS, unit="s", decimals=1), [2.0])
    assert (column.unit, printed(column, 2.0)) == ("s", "7200.0")
    assert fitted(LP, [0.001]) is LP


@pytest.mark.parametrize("medium", TEXTS)
def test_every_view_shows_the_same_unit(medium):
    text = TEXTS[medium](build())
    for part in ("time (min)", "memory (GB)", "1.86", "2.00", "0.65", "40.00"):
        assert part in text, part
    assert "0.03" not in text


def test_csv_keeps_the_unit_that_the_metric_names():
    lines = list(csv.DictReader(io.StringIO(to_csv(build()))))
    hours = [float(line["value"]) for line in lines if line["column"] == "hours"]
    assert hours == [0.031, 0.0334]
    assert {line["metric"] for line in lines} == {
        "wall_hours_with_shared",
        "peak_memory_gb",
        "miou",
    }


@pytest.mark.parametrize("medium", TEXTS)
def test_references_are_in_the_same_unit(medium):
    references = {("lima-5", "hours"): Reference(value=0.5)}
    text = TEXTS[medium](build(references=references, against="paper"))
    assert "30.00" in text and "1.86" in text


def test_a_cost_is_shown_beside_a_reference_and_never_judged():
    references = {("lima-5", "hours"): Reference(value=17.0), ("lima-5", "lp"): Reference(value=9)}
    table = build(references=references, against="paper")
    assert table.cells["lima-5", "hours"].verdict is Verdict.NO_REFERENCE
    assert table.cells["lima-5", "hours"].reference == 17.0
    assert table.cells["lima-5", "lp"].verdict is Verdict.ABOVE
    fair = build(references={("lima-5", "hours"): Reference(value=17.0)}, against="paper")
    assert exit_code(fair.judged()) == 0
    assert "<failure" not in to_junit(fair)


@pytest.mark.parametrize("medium", TEXTS)
def test_a_disturbed_time_is_marked_explained_and_open(medium):
    table = build(state=State.DISTURBED)
    cell = table.cells["lima-5", "hours"]
    assert (cell.verdict, cell.flags, cell.best) == (Verdict.LIMITED, ("disturbed",), False)
    assert exit_code(table.judged()) == 4
    text = TEXTS[medium](table)
    assert "measured beside other work" in text
    assert ("parallel" if medium == "latex" else "∥") in text
    assert "1.86" in text
    assert "disturbed" in to_csv(table)


def test_costs_are_no_golden_numbers():
    assert "hours" not in to_golden(build(), tolerance=0.5)
    assert "lima-5,lp,40.0" in to_golden(build(), tolerance=0.5)


def test_costs_of_rows_have_units_too():
    costs = {"lima-5": Costs(wall_hours=0.02, shared_wall_hours=0.01, cpu_seconds_per_sample=0.08)}
    shown = dict(view(replace(build(), costs=costs)).costs)
    assert shown == {
        "wall time (min)": {"lima-5": "1.20"},
        "shared stages (s)": {"lima-5": "36.0"},
        "CPU a scan (ms)": {"lima-5": "80.0"},
    }

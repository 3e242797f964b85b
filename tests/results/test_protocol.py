"""Columns whose protocol no public text settles say so, in every rendering."""

from dataclasses import replace

import pytest

from lima_bench.results.build import Outcome, build_table
from lima_bench.results.render.csv import to_csv
from lima_bench.results.render.html import to_html
from lima_bench.results.render.latex import to_latex
from lima_bench.results.render.markdown import to_markdown
from lima_bench.results.render.terminal import to_text
from lima_bench.results.table import Table


@pytest.fixture
def assumed(table: Table) -> Table:
    """The table again, with a protocol that is assumed on Waymo."""
    columns = [replace(c, protocol="assumed") if c.dataset == "waymo" else c for c in table.columns]
    outcomes = {at: Outcome(values=cell.values) for at, cell in table.cells.items() if cell.values}
    return build_table(
        title=table.title,
        suite=table.suite,
        profile=table.profile,
        rows=table.rows,
        columns=columns,
        outcomes=outcomes,
        footer=table.footer,
        seeds=(0, 1, 2),
    )


@pytest.mark.parametrize("render", [to_html, to_latex, to_markdown, to_text])
def test_a_line_under_the_columns(render, assumed: Table, table: Table) -> None:
    assert "protocol" not in render(table).lower().replace("protocols", "")
    lines = [line for line in render(assumed).splitlines() if "protocol" in line]
    under = next(line for line in lines if "assumed" in line and "no public" not in line)
    assert under.count("assumed") == 1
    assert "no public text" in render(assumed)


def test_csv_flags_the_cells(assumed: Table) -> None:
    flagged = [line for line in to_csv(assumed).splitlines() if "protocol-assumed" in line]
    assert len(flagged) == len(assumed.rows)
    assert all(",waymo-1%," in line for line in flagged)

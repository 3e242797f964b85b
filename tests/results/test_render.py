"""Every view shows the same table: numbers, holes with reasons, daggers, footer."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lima_bench.results.export import VIEWS, write_all
from lima_bench.results.render.csv import COLUMNS, to_csv
from lima_bench.results.render.html import to_html
from lima_bench.results.render.latex import escape, to_latex
from lima_bench.results.render.markdown import to_markdown
from lima_bench.results.render.terminal import to_text
from lima_bench.results.table import Costs
from lima_bench.results.view import number_text, view

REASONS = (
    "the Waymo reader is not built yet",
    "failed: loss is NaN at step 12",
    "lima/loop.py changed",
    "seed 1 not run yet",
    "Seal is not built yet",
    "SuperFlow is not built yet",
)
LATEX_COMMANDS = {
    "begin", "end", "centering", "caption", "label", "footnotesize", "setlength", "tabcolsep",
    "toprule", "midrule", "bottomrule", "cmidrule", "multicolumn", "textbf", "textit", "tiny",
    "scriptsize", "pm", "dagger", "ddagger", "S", "P", "par", "smallskip", "linewidth",
    "raggedright", "cdot", "textbackslash", "textasciitilde", "textasciicircum",
}  # fmt: skip
NASTY = r"50% of {a} & b_c #1 $x$ ~^\ [x] | <script>alert('x')</script> * `q`"


def plain_latex(text):
    return text.replace(r"\%", "%").replace(r"\_", "_")


TEXTS = {
    "latex": lambda table: plain_latex(to_latex(table)),
    "markdown": lambda table: to_markdown(table).replace("\\", ""),
    "html": to_html,
    "terminal": lambda table: to_text(table, width=160),
}


@pytest.mark.parametrize("medium", TEXTS)
class TestEveryView:
    def test_reasons_are_listed_once(self, table, medium):
        text = TEXTS[medium](table)
        notes = re.sub(r'title="[^"]*"', "", text)
        for reason in REASONS:
            assert notes.count(reason) == 1, reason

    def test_numbers_and_spreads(self, table, medium):
        text = TEXTS[medium](table)
        for _, _, cell in table:
            if cell.mean is not None:
                assert f"{cell.mean:.2f}" in text
                assert f"{cell.std:.2f}" in text

    def test_footer_tells_where_the_numbers_come_from(self, table, medium):
        text = TEXTS[medium](table)
        for part in (
            "profile: embedded",
            "0, 1, 2",
            "lima-bench 0.1.0",
            "7b65381aa0",
            "2026-01-31",
        ):
            assert part in text
        assert "not comparable with published numbers" in text
        assert "Published orderings that hold here: 8 of 8" in text

    def test_daggers_are_explained(self, table, medium):
        text = TEXTS[medium](table)
        for meaning in ("reconstruction:", "stale:", "some seeds", "stated by no source"):
            assert meaning in text
        assert "made on part of the data" not in text

    def test_paper_tables_say_nothing_of_the_embedded_world(self, table, medium):
        real = replace(table, footer=replace(table.footer, embedded=False), splits=None)
        assert "not comparable" not in TEXTS[medium](real)

    def test_splits_say_how_to_read_them(self, table, medium):
        if medium != "latex":  # one environment, one table
            assert TEXTS[medium](table).count("compare within a column only") == 1

    def test_warnings_stand_under_the_table(self, table, medium):
        warned = replace(table, notes=("Column LP mixes numbers made on A and B.",))
        assert "Column LP mixes numbers made on A and B." in TEXTS[medium](warned)


class TestView:
    def test_one_number_explains_a_whole_row_or_column(self, table):
        shown = view(table)
        assert shown.reasons == REASONS
        assert shown.column_number == {"waymo-1%": 1}
        assert shown.row_number == {"seal": 5, "superflow": 6}
        explained = [s for s in shown.cells.values() if s.hole and s.number == 0]
        assert len(explained) == 8 * 2 + 4

    def test_groups(self, table):
        shown = view(table)
        assert shown.column_groups == (("nuScenes", 6), ("SemanticKITTI", 1), ("Waymo", 1))
        assert [(name, len(rows)) for name, rows in shown.row_groups] == [
            ("", 1),
            ("tiny teacher", 5),
        ]

    def test_unmeasured_costs_are_left_out(self, table):
        some = replace(table, costs={"lima": Costs(wall_hours=1.23456)})
        assert view(some).costs == (("wall time (h)", {"lima": "1.23"}),)

    @pytest.mark.parametrize(
        ("value", "signed", "text"),
        [
            (1.005, False, "1.00"),
            (-1.0, False, "−1.00"),
            (1.0, True, "+1.00"),
            (-0.001, True, "0.00"),
            (0.0, True, "0.00"),
        ],
    )
    def test_number_text(self, value, signed, text):
        assert number_text(value, 2, signed=signed) == text


class TestCsv:
    def test_one_line_per_cell_with_the_contracted_columns(self, table):
        lines = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert tuple(lines[0]) == COLUMNS
        assert ",".join(COLUMNS) == (
            "row,method,teacher,student,frames,column,dataset,setting,metric,"
            "value,std,n_seeds,reference,verdict,flags"
        )
        assert len(lines) == len(table.rows) * len(table.columns)

    def test_numbers_read_back_to_the_same_bits(self, table):
        for line in csv.DictReader(io.StringIO(to_csv(table))):
            cell = table.cells[line["row"], line["column"]]
            assert (float(line["value"]) if line["value"] else None) == cell.mean
            assert (float(line["std"]) if line["std"] else None) == cell.std
            assert line["verdict"] == cell.verdict

    def test_a_hole_a_stale_and_a_partial_cell(self, table):
        lines = {(n["row"], n["column"]): n for n in csv.DictReader(io.StringIO(to_csv(table)))}
        hole = lines["seal", "nus-lp"]
        assert (hole["value"], hole["n_seeds"], hole["verdict"]) == ("", "0", "missing")
        assert hole["flags"] == "reconstruction unavailable"
        assert lines["scalr", "nus-5%"]["flags"] == "stale"
        assert lines["lima", "nus-10%"]["n_seeds"] == "2"
        assert lines["slidr", "nus-25%"]["verdict"] == "failed"
        assert lines["lima", "nus-1%"]["frames"] == "6"


class TestLatex:
    def test_balance_and_vocabulary(self, table):
        hard = replace(
            table, title=NASTY, rows=(replace(table.rows[0], title=NASTY), *table.rows[1:])
        )
        for made in (table, hard, table.splits):
            text = to_latex(made)
            body = re.sub(r"\\[{}]", "", text)
            assert body.count("{") == body.count("}")
            assert text.replace(r"\$", "").count("$") % 2 == 0
            begins, ends = (re.findall(rf"\\{w}{{(\w+\*?)}}", text) for w in ("begin", "end"))
            assert begins == ["table*", "tabular", "minipage"]
            assert ends == ["tabular", "minipage", "table*"]
            assert set(re.findall(r"\\([A-Za-z]+)", text.partition("\n")[2])) <= LATEX_COMMANDS

    def test_only_the_first_line_is_a_comment(self, table):
        first, *others = to_latex(table).splitlines()
        assert first.startswith("% ")
        assert not any(re.search(r"(?<!\\)%", line) for line in others)
        assert r"1\%" in to_latex(table)

    def test_nothing_but_ascii_for_plain_compilers(self, table):
        assert to_latex(table).partition("\n")[2].isascii()

    def test_every_line_of_the_grid_has_every_column(self, table):
        body = re.search(r"\\toprule\n(.*)\\bottomrule", to_latex(table), re.DOTALL).group(1)
        n_lines = 0
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = [int(n) - 1 for n in re.findall(r"\\multicolumn{(\d+)}", line)]
                assert len(re.findall(r"(?<!\\)&", line)) + sum(spans) == len(table.columns)
                n_lines += 1
        assert n_lines == 2 + 1 + len(table.rows)
        assert r"\cmidrule(lr){2-7} \cmidrule(lr){8-8} \cmidrule(lr){9-9}" in body

    def test_best_is_bold(self, table):
        text = to_latex(table)
        assert re.findall(r"\\textbf{([\d.]+)}", text)[0] == "36.37"
        assert len(re.findall(r"\\textbf", text)) == sum(c.best for _, _, c in table)

    def test_escape(self):
        assert escape("1% [a] {b} _") == r"1\% {[}a{]} \{b\} \_"


class TestMarkdown:
    def test_every_line_of_a_grid_has_as_many_cells(self, table):
        hard = replace(table, rows=(replace(table.rows[0], title=NASTY), *table.rows[1:]))
        for block in to_markdown(hard).split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1

    def test_no_markup_gets_through(self, table):
        hard = replace(table, title=NASTY)
        assert "<script>" not in to_markdown(hard)
        assert r"\<script\>" in to_markdown(hard)

    def test_best_hole_and_reference(self, table):
        lines = to_markdown(table).splitlines()
        lima = next(line for line in lines if line.startswith("| LiMA |"))
        assert lima.startswith("| LiMA | **36.37** ± 0.37 <sub>(36.40 ✓)</sub> |")
        slidr = next(line for line in lines if line.startswith("| SLidR |"))
        assert "| –<sup>2</sup> |" in slidr
        assert "(60.00 ▼)" in slidr


class _Tags(HTMLParser):
    VOID = ("meta", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


class TestHtml:
    def parse(self, table):
        page = _Tags()
        page.feed(to_html(table))
        assert page.open == []
        return page

    def test_needs_nothing_else(self, table):
        page = self.parse(table)
        assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.seen}
        assert "http" not in to_html(table)
        assert "url(" not in to_html(table)
        assert "@import" not in to_html(table)

    def test_names_are_text_not_markup(self, table):
        hard = replace(
            table, title=NASTY, rows=(replace(table.rows[0], title=NASTY), *table.rows[1:])
        )
        page = self.parse(hard)
        assert "script" not in {tag for tag, _ in page.seen}
        assert NASTY in page.text

    def test_every_row_has_every_column(self, table):
        for made in (table, replace(table, costs={}), replace(table, splits=None)):
            text = to_html(made)
            width = len(made.columns) + (3 if made.costs else 0)
            first = text.split("</table>")[0]
            for row in re.findall(r"<tr[^>]*><th scope=\"row\".*?</tr>", first, re.DOTALL):
                assert row.count("<td") == width

    def test_hints_tell_seeds_verdict_and_reason(self, table):
        hints = [
            attrs["title"]
            for tag, attrs in self.parse(table).seen
            if tag == "td" and "title" in attrs
        ]
        lima = next(hint for hint in hints if hint.startswith("LiMA, nuScenes LP"))
        assert "seed 0: 36.0000" in lima
        assert "verdict: reproduced" in lima
        assert any("Seal is not built yet" in hint for hint in hints)

    def test_a_table_without_numbers_still_draws(self, table):
        holes = {
            at: replace(c, mean=None, std=None, n=0, values={}) for at, c in table.cells.items()
        }
        self.parse(replace(table, cells=holes, costs={}, orderings=(), splits=None))

    def test_costs_and_splits_are_there(self, table):
        text = self.parse(table).text
        assert "Cost of pretraining" in text
        assert "LiMA − ScaLR" in text
        assert "+2.00" in text


class TestTerminal:
    @pytest.mark.parametrize("width", [160, 100, 80, 60, 40])
    def test_fits_any_width_without_cutting(self, table, width):
        text = to_text(table, width=width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "…" not in text
        for _, _, cell in table:
            if cell.mean is not None:
                assert f"{cell.mean:.2f}" in text

    def test_wide_terminals_show_one_grid_with_spreads_beside(self, table):
        text = to_text(replace(table, splits=None), width=160)
        assert text.count("Random  ") == 2  # the grid and the costs
        assert "36.37 ± 0.37" in text

    def test_narrower_terminals_put_the_spread_below(self, table):
        text = to_text(replace(table, splits=None), width=110)
        assert text.count("Random  ") == 2
        assert "36.37 ± 0.37" not in text

    def test_no_colour_codes_in_plain_text(self, table):
        assert "\x1b" not in to_text(table)


class TestExport:
    def test_writes_every_view(self, table, tmp_path):
        paths = write_all(table, tmp_path / "tables")
        assert sorted(path.name for path in paths) == [
            "table1.embedded.csv",
            "table1.embedded.html",
            "table1.embedded.md",
            "table1.embedded.splits.csv",
            "table1.embedded.tex",
        ]
        assert all(path.read_text().endswith("\n") for path in paths)
        assert (tmp_path / "tables" / "table1.embedded.csv").read_text() == to_csv(table)

    def test_same_table_same_bytes(self, table):
        for render in VIEWS.values():
            assert render(table) == render(table)


def test_planning_and_reading_stay_light():
    code = (
        "import sys, lima_bench.results.store, lima_bench.results.build,"
        "lima_bench.results.golden_files,"
        "lima_bench.results.export, lima_bench.results.junit;"
        "heavy = {'numpy', 'pandas', 'torch', 'jinja2', 'rich', 'matplotlib', 'pydantic'};"
        "sys.exit(','.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

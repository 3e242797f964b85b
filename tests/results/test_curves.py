"""Figures hold the table's numbers in its units, tell published ones apart, and do not flatter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.results.build import Outcome, build_table
from lima_bench.results.export import write_figures
from lima_bench.results.reference import read_published, references
from lima_bench.results.render.curves import figures_of
from lima_bench.results.render.labelling import _box, _offsets
from lima_bench.results.render.looks import _LOOKS, look_of
from lima_bench.results.render.pages import as_png, as_svg
from lima_bench.results.table import ColumnMeta, Costs, Footer, RowMeta
from lima_bench.results.verdict import State

COLUMNS = [
    ColumnMeta(id="hours", title="time", metric="wall_hours_with_shared", quantity="hours",
               unit="auto", decimals=None, group="Pretraining", better="lower"),
    ColumnMeta(id="memory", title="memory", metric="peak_memory_gb", quantity="gigabytes",
               unit="auto", decimals=None, group="Pretraining", better="lower"),
    ColumnMeta(id="lp", title="LP", dataset="nuscenes", setting="LP", group="nuScenes"),
]  # fmt: skip


def made_rows():
    frames = [("scalr", "ScaLR", 1), *(("lima", "LiMA", n) for n in (2, 3, 4)), ("seal", "Seal", 2)]
    return [
        RowMeta(id=f"{m}-{n}", title=f"{t}, {n} frames", method=m, teacher="vit_b", frames=n)
        for m, t, n in frames
    ]


def build(*, against="", disturbed=(), seeds=(0, 1)):
    rows, outcomes = made_rows(), {}
    size = 250.0 if against == "paper" else 1.0
    for row in rows:
        state = State.DISTURBED if row.id in disturbed else State.DONE
        if not seeds:
            continue
        values = {s: size * (0.02 * row.frames + 0.002 * s) for s in seeds}
        outcomes[row.id, "hours"] = Outcome(values=values, state=state, reason="x" * (row.id in
            disturbed))  # fmt: skip
        outcomes[row.id, "memory"] = Outcome(
            values={s: 0.6 * size**0.6 + 0.01 * row.frames for s in seeds}
        )
        outcomes[row.id, "lp"] = Outcome(values={s: 40.0 + row.frames + s for s in seeds})
    theirs = references(read_published("efficiency"), rows, COLUMNS) if against == "paper" else {}
    table = build_table(
        title="Frames", suite="efficiency", profile="embedded", rows=rows, columns=COLUMNS,
        outcomes=outcomes, references=theirs, against=against,
        footer=Footer(version="0.1", commit="7b65381aa0", date="2026-01-31", embedded=True),
    )  # fmt: skip
    return replace(
        table, costs={row.id: Costs(wall_hours=0.015 * size * row.frames) for row in rows}
    )


def frames_figure(table):
    return figures_of(table).get("frames")


def labels_figure(table):
    return figures_of(table).get("labels")


def panel_of(figure, title):
    (panel,) = [axes for axes in figure.axes if axes.get_title() == title]
    return panel


def curve(panel, label):
    (line,) = [line for line in panel.get_lines() if line.get_label() == label]
    return line.get_xydata().tolist()


def hollow(panel):
    lines = [
        line
        for line in panel.get_lines()
        if (line.get_markerfacecolor(), line.get_color()) != ("white", "white")
        and line.get_markerfacecolor() == "white"
    ]
    return sorted((x, y) for line in lines for x, y in line.get_xydata().tolist())


def words(panel):
    return {text.get_text() for text in panel.texts}


class TestFrames:
    def test_a_curve_has_the_means_in_the_printed_unit(self):
        figure = frames_figure(build())
        time = panel_of(figure, "Pretraining: time")
        minutes = [[n, 60 * (0.02 * n + 0.001)] for n in (2, 3, 4)]
        assert np.allclose(curve(time, "LiMA"), minutes)
        assert time.get_ylabel() == "time (min)"
        score = panel_of(figure, "nuScenes: LP")
        assert np.allclose(curve(score, "LiMA"), [[n, 40.5 + n] for n in (2, 3, 4)])

    def test_single_rows_are_points_with_their_names(self):
        for panel in frames_figure(build()).axes:
            assert {"LiMA", "ScaLR", "Seal"} <= words(panel)
            assert list(panel.get_xticks()) == [1, 2, 3, 4]

    def test_costs_begin_at_zero_and_show_what_shared_stages_add(self):
        figure = frames_figure(build())
        time = panel_of(figure, "Pretraining: time")
        assert time.get_ylim()[0] == 0 < panel_of(figure, "nuScenes: LP").get_ylim()[0]
        assert panel_of(figure, "Pretraining: memory").get_ylim()[0] == 0
        (dotted,) = [line for line in time.get_lines() if line.get_linestyle() == ":"]
        assert np.allclose(dotted.get_xydata(), [[n, 0.9 * n] for n in (2, 3, 4)])
        assert "without shared stages" in words(time)
        assert "without shared stages" not in words(panel_of(figure, "Pretraining: memory"))

    def test_published_numbers_are_hollow_and_golden_ones_stay_out(self):
        figure = frames_figure(build(against="paper"))
        found = hollow(panel_of(figure, "Pretraining: memory"))
        assert found == [(1, 12.43), (2, 18.23), (2, 20.92), (3, 20.67), (4, 23.19)]
        assert "Hollow: published." in figure._supxlabel.get_text()
        plain = frames_figure(build())
        assert hollow(plain.axes[0]) == []
        assert "Hollow" not in plain._supxlabel.get_text()

    def test_published_numbers_alone_are_drawn_too(self):
        figure = frames_figure(replace(build(against="paper", seeds=()), costs={}))
        assert len(hollow(panel_of(figure, "nuScenes: LP"))) == 5
        assert {"LiMA", "ScaLR", "Seal"} <= words(panel_of(figure, "nuScenes: LP"))

    def test_what_was_disturbed_is_pale_and_said(self):
        figure = frames_figure(build(disturbed=("lima-3",)))
        time = panel_of(figure, "Pretraining: time")
        (pale,) = [line for line in time.get_lines() if line.get_alpha() not in (None, 1.0)]
        assert pale.get_xydata()[0][0] == 3
        assert "Pale" in figure._supxlabel.get_text()
        assert "Pale" not in frames_figure(build())._supxlabel.get_text()

    def test_the_small_print_tells_where_numbers_come_from(self):
        text = frames_figure(build())._supxlabel.get_text()
        for part in ("profile: embedded", "7b65381aa0", "not comparable", "deviation over seeds"):
            assert part in " ".join(text.split()), part
        assert "deviation" not in frames_figure(build(seeds=(0,)))._supxlabel.get_text()

    def test_rows_that_differ_in_more_than_frames_are_no_curve(self):
        table = build()
        titles = {"lima-2": "Plain", "lima-3": "+ memory", "lima-4": "+ mixing"}
        rows = tuple(replace(row, title=titles.get(row.id, row.title)) for row in table.rows)
        assert frames_figure(replace(table, rows=rows)) is None


class TestLabels:
    def test_a_line_per_row_over_shares_with_a_band(self, table):
        figure = labels_figure(table)
        (panel,) = figure.axes
        assert panel.get_title() == "nuScenes"
        assert panel.get_xscale() == "log"
        assert list(panel.get_xticks()) == [1, 5, 10, 25, 100]
        shares = {"nus-1%": 1, "nus-5%": 5, "nus-10%": 10, "nus-25%": 25, "nus-100%": 100}
        for name in ("lima", "slidr"):  # slidr failed at 25 %: a line without that point
            means = {x: table.cells[name, c].mean for c, x in shares.items()}
            expected = [[x, y] for x, y in means.items() if y is not None]
            title = next(row.title for row in table.rows if row.id == name)
            assert np.allclose(curve(panel, title), expected)
        assert len(panel.collections) == 4  # bands
        names = [text.get_text() for text in panel.get_legend().get_texts()]
        assert names == ["Random", "SLidR", "ScaLR", "LiMA"]

    def test_groups_of_rows_have_panels_of_their_own(self, table):
        rows = tuple(
            replace(row, group="ViT-S" if row.id in ("scalr", "lima") else row.group)
            for row in table.rows
        )
        figure = labels_figure(replace(table, rows=rows))
        assert [panel.get_title() for panel in figure.axes] == [
            "nuScenes, tiny teacher",
            "nuScenes, ViT-S",
        ]
        names = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
        assert names == ["Random", "ScaLR", "LiMA"]

    def test_two_scores_under_each_share_have_panels_of_their_own(self, table):
        """Their columns stand pairwise under the share, so the group says no data set."""
        shares = [c for c in table.columns if c.id.startswith("nus-") and c.setting != "LP"]
        columns, cells = [], {}
        for column in shares:
            for metric, title in (("map", "mAP"), ("nds", "NDS")):
                own = f"{column.id}-{metric}"
                columns.append(
                    replace(column, id=own, group=column.setting, title=title, metric=metric)
                )
                cells |= {
                    (row.id, own): replace(table.cells[row.id, column.id], column=own)
                    for row in table.rows
                }
        figure = labels_figure(replace(table, columns=tuple(columns), cells=cells))
        assert [panel.get_title() for panel in figure.axes] == ["mAP", "NDS"]
        assert [panel.get_ylabel() for panel in figure.axes] == ["mAP (%)", "NDS (%)"]
        assert all(list(panel.get_xticks()) == [1, 5, 10, 25, 100] for panel in figure.axes)

    def test_a_table_without_shares_has_none(self):
        assert labels_figure(build()) is None
        assert set(figures_of(build())) == {"frames"}


class TestFiles:
    def test_files_are_named_readable_and_equal_for_equal_tables(self, tmp_path):
        one = write_figures(build(), tmp_path / "one")
        two = write_figures(build(), tmp_path / "two")
        assert [path.name for path in one] == [
            "efficiency.embedded.frames.png",
            "efficiency.embedded.frames.svg",
        ]
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
        with Image.open(one[0]) as image:
            assert image.width > 1500 and image.height > 500
            assert np.asarray(image.convert("L")).min() < 60
        text = one[1].read_text()
        assert text.lstrip().startswith("<?xml") and "<text" not in text
        assert str(tmp_path) not in text and "<dc:date>" not in text

    def test_nothing_to_draw_is_said(self, tmp_path):
        with pytest.raises(UserError, match="nothing to draw yet"):
            write_figures(build(seeds=()), tmp_path / "none")
        assert not (tmp_path / "none").exists()

    def test_pyplot_is_never_loaded(self):
        program = (
            "import sys\nimport lima_bench.results.render.curves\n"
            "assert 'matplotlib.pyplot' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, cwd=Path.cwd())

    def test_drawing_leaves_matplotlib_as_it_was(self):
        import matplotlib

        before = dict(matplotlib.rcParams)
        figure = figures_of(build())["frames"]
        assert as_png(figure) and as_svg(figure)
        assert dict(matplotlib.rcParams) == before


class TestNames:
    @pytest.mark.parametrize("against", ["", "paper"])
    def test_no_name_covers_another_or_leaves_its_panel(self, against):
        figure = frames_figure(build(against=against))
        renderer = figure._get_renderer()
        for panel in figure.axes:
            frame = panel.get_window_extent().expanded(1.08, 1.08)
            boxes = [text.get_window_extent(renderer) for text in panel.texts]
            for n, box in enumerate(boxes):
                assert frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
                assert not any(box.overlaps(other) for other in boxes[n + 1 :])

    def test_places_lie_on_every_side(self):
        boxes = [_box(0.0, 0.0, "LiMA", offset) for offset in _offsets("LiMA")]
        assert any(box[1] > 0 for box in boxes) and any(box[3] < 0 for box in boxes)
        assert any(box[0] > 0 for box in boxes) and any(box[2] < 0 for box in boxes)

    def test_looks_differ_by_more_than_colour(self):
        assert len({(look.marker, look.line) for look in _LOOKS.values()}) == len(_LOOKS)
        assert look_of("mine", 1) != look_of("yours", 2)
        assert look_of("lima", 7) == look_of("lima")

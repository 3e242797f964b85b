"""Rows, the clockwork, the text, the comparison and the page, without measuring anything real."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.compare import compared
from benchmarks.compare import main as compare
from benchmarks.groups import GROUPS, ON_REQUEST, chosen_groups, is_chosen
from benchmarks.page import FOLDER, PAGE, page_of
from benchmarks.report import HEADING, MACHINE, load, markdown_of, number, save, text_of
from benchmarks.rows import Row, Sample, Timings, interleave

KEYS = {"name", "value", "unit", "target", "met", "note"}


class FakeClock:
    """Stands still but for what work adds."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now += seconds

        return call


def test_contenders_take_turns() -> None:
    clock = FakeClock()
    work = {"a": clock.work("a", 1.0), "b": clock.work("b", 4.0)}
    timings = interleave(work, rounds=3, clock=clock)
    assert "".join(clock.calls) == "aabb" + "ab" * 3
    assert timings.seconds == {"a": (1.0,) * 3, "b": (4.0,) * 3}
    assert timings.ratio("b", "a").values == (4.0,) * 3
    assert timings.fastest(["a", "b"]) == "a"


def test_short_work_is_repeated_and_its_mean_taken() -> None:
    clock = FakeClock()
    timings = interleave({"a": clock.work("a", 0.001)}, rounds=1, clock=clock, shortest_s=0.01)
    assert len(clock.calls) == 2 + 10
    assert timings.sample("a", 1e3).median == pytest.approx(1.0)


def test_ratios_are_formed_within_a_round() -> None:
    """Both slow down fivefold in the middle round; their ratio does not notice."""
    timings = Timings({"a": (1.0, 5.0, 1.0), "b": (2.0, 10.0, 2.0)})
    assert timings.ratio("b", "a").values == (2.0, 2.0, 2.0)
    assert timings.sample("a").quartiles == (1.0, 3.0)


@pytest.mark.parametrize(
    ("value", "bounds", "target", "met"),
    [
        (0.8, {"at_least": 0.8}, ">= 0.8", True),
        (0.79, {"at_least": 0.8}, ">= 0.8", False),
        (3.0, {"at_most": 3.0}, "<= 3", True),
        (3.1, {"at_most": 3.0}, "<= 3", False),
        (0.0, {"at_most": 0}, "<= 0", True),
        (None, {"at_least": 2.3}, ">= 2.3", None),
        (7.0, {}, "", None),
    ],
)
def test_a_target_is_met_or_not(
    value: float | None, bounds: dict[str, float], target: str, met: bool | None
) -> None:
    row = Row.of("a/b", value, "x", **bounds)
    assert (row.value, row.target, row.met, row.spread) == (value, target, met, None)


def test_the_value_of_a_sample_is_its_median() -> None:
    row = Row.of("a/b", Sample((3.0, 1.0, 2.0)), "x", at_least=1.9)
    assert (row.value, row.spread, row.met) == (2.0, (1.5, 2.5), True)


ROWS = [
    Row(MACHINE, None, "", note="a machine; some versions"),
    Row.of("layers/fused/forward", Sample((0.70, 0.71, 0.72)), "of mm", at_least=0.8, note="a|b"),
    Row.of("tables/warm", 1.5, "s", at_most=3.0),
    Row.of("gpu/any", None, "x", note="no GPU"),
]


def test_json_is_a_list_of_rows_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    save(ROWS, path)
    assert all(set(row) >= KEYS for row in json.loads(path.read_text()))
    assert load(path) == ROWS


def test_text_is_aligned_and_says_what_is_missed() -> None:
    lines = [text_of(row) for row in ROWS]
    assert "NOT met" in lines[1] and "0.700" not in lines[1] and "0.710 of mm" in lines[1]
    assert lines[1].index(">= 0.8") == lines[2].index("<= 3") == HEADING.index("target")
    assert lines[3].endswith("no GPU")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.1234, "0.123"),
        (1.456, "1.456"),
        (25.0, "25.0"),
        (333.3, "333"),
        (5e6, "5,000,000"),
    ],
)
def test_numbers_stay_short(value: float, text: str) -> None:
    assert number(value) == text


def test_comparison_finds_what_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    save([Row.of("a/speed", Sample((2.0, 2.1, 2.2)), "x", at_least=2.0), ROWS[2]], before)
    save([Row.of("a/speed", Sample((1.0, 1.1, 1.2)), "x", at_least=2.0), ROWS[3]], after)
    assert compare([str(before), str(after)]) == 1
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "0.52  apart, NOT met (was met)" in shown["a/speed"]
    assert set(shown) == {"figure", "a/speed", "gpu/any", "tables/warm"}
    assert compare([str(before), str(before)]) == 0


def test_noise_is_not_called_a_change() -> None:
    first = Row.of("a/b", Sample((1.0, 1.1, 1.2)), "x")
    second = Row.of("a/b", Sample((1.1, 1.15, 1.3)), "x")
    (change,) = compared([first], [second])
    assert not change.beyond_spread and change.ratio == pytest.approx(1.15 / 1.1)


def test_groups_are_chosen_by_name_or_by_row() -> None:
    assert chosen_groups([]) == list(GROUPS)
    assert chosen_groups([], ON_REQUEST)[-len(ON_REQUEST) :] == list(ON_REQUEST)
    assert chosen_groups(["layers/*/subm*", "ti*"]) == ["layers", "tiny"]
    assert chosen_groups(["embedded"]) == ["embedded"]
    assert is_chosen("layers/fused/x", ["layers"]) and is_chosen("layers/fused/x", ["*/fused/*"])
    assert not is_chosen("layers/fused/x", ["layers/reference/*"])


def test_markdown_holds_every_row_in_one_line() -> None:
    lines = markdown_of(ROWS).splitlines()
    assert lines[0] == ROWS[0].note
    assert len(lines) == 2 + 2 + len(ROWS) - 1
    assert lines[4] == (
        "| `layers/fused/forward` | 0.710 of mm | 0.705 .. 0.715 | >= 0.8 | NOT met | a\\|b |"
    )


def test_the_page_keeps_its_words_and_renews_its_tables(tmp_path: Path) -> None:
    save(ROWS, tmp_path / "a.json")
    sections = [f"<!-- rows of {name}.json -->\n{name} as it was\n<!-- end -->" for name in "ab"]
    text = "\n".join(("words", sections[0], "more", sections[1], ""))
    renewed = page_of(text, tmp_path)
    assert "a as it was" not in renewed and markdown_of(ROWS) in renewed
    assert "b as it was" in renewed
    assert renewed.startswith("words\n") and "\nmore\n" in renewed
    assert page_of(renewed, tmp_path) == renewed


def test_the_page_shows_what_the_files_hold() -> None:
    text = PAGE.read_text()
    assert "<!-- rows of latest.json -->" in text
    assert page_of(text, FOLDER) == text, "run: python -m benchmarks.page"


@pytest.mark.parametrize("content", [None, "broken", "[1]", '[{"nome": "x"}]'])
def test_a_file_without_rows_is_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "rows.json"
    if content is not None:
        path.write_text(content)
    assert compare([str(path), str(path)]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith(f"{path}\n  It holds no benchmark rows")

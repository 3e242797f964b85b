"""``lima-bench list labels``: counts and hashes of every share, on recordings and on the world."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lima_bench.common.hashing import digest
from lima_bench.datasets.api import DATASETS, Card, Frame
from lima_bench.results.store import Store
from lima_bench.suites.session import Request, open_session

Call = Callable[..., tuple[int, str, str]]


class Counted:
    """200 sequences of two frames; its files do not matter."""

    version = 1
    card = Card(
        name="counted",
        title="Counted",
        licence="none",
        citation="none",
        sensor="none",
        frame_axes="none",
        intensity={"minimum": 0, "maximum": 1},
        classes=({"name": "thing", "colour": (0, 0, 0)},),
        labels={0: 255, 1: 0},
        splits={"train": (), "val": ()},
        label_shares={"default": "slidr-scene", "50%": "stride"},
        variants={
            "halves": {
                "title": "Counted in halves",
                "why": "to be tested",
                "changes": {
                    "label_shares": {"default": "sequence"},
                    "sequence_shares": {"50%": ("s000", "s001", "s002")},
                },
            }
        },
    )

    def frames(self, root: Path, split: str) -> list[Frame]:
        assert root.name == "counted" and split == "train"
        return [Frame(f"{i:03}/{k}", f"s{i:03}", k, k / 2) for i in range(200) for k in range(2)]


@pytest.fixture
def call(command_line: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """`command_line`, with a data set whose frames are only counted."""
    monkeypatch.setattr(DATASETS, "_entries", {**DATASETS._entries, "counted": Counted})
    (tmp_path / "data" / "counted").mkdir(parents=True)
    return command_line


def lines_of(text: str, name: str) -> dict[tuple[str, str], dict]:
    return {(line["share"], line["convention"]): line for line in json.loads(text)[name]}


def test_counts_and_hashes(call: Call) -> None:
    code, out, err = call("list", "labels", "counted", "--data", "data", "--json")
    assert (code, err) == (0, "")
    lines = lines_of(out, "counted")
    assert {key for key, line in lines.items() if line["is_own"]} == {
        *((share, "slidr-scene") for share in ("1%", "5%", "10%", "20%", "25%", "100%")),
        ("50%", "stride"),
    }
    one = lines["1%", "slidr-scene"]
    assert (one["frames"], one["sequences"]) == (4, 2)
    assert one["digest"] == digest(["099/0", "099/1", "199/0", "199/1"])
    stride = lines["25%", "stride"]
    assert (stride["frames"], stride["sequences"]) == (100, 100)
    assert lines["100%", "slidr-stride"]["frames"] == 400
    named = {convention for _, convention in lines}
    assert named == {"slidr-scene", "slidr-stride", "stride", "lasermix-list"}
    assert [share for share, convention in lines if convention == "lasermix-list"] == ["100%"]


def test_a_table_for_people(call: Call) -> None:
    code, out, _ = call("list", "labels", "--data", "data")
    assert code == 0
    title, heading, first, second, *_ = out.splitlines()
    assert title.split() == ["counted", "data/counted"]
    assert heading.split() == ["share", "convention", "frames", "sequences", "hash"]
    assert first.split()[:5] == ["1%", "slidr-scene", "*", "4", "2"]
    assert second.split()[:4] == ["1%", "slidr-stride", "4", "4"]
    assert len(first.split()[-1]) == 16


def test_a_list_that_lies_there_is_counted(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "counted" / "label_shares" / "lasermix-list"
    folder.mkdir(parents=True)
    (folder / "counted_1pct.txt").write_text("x/007/velodyne/1.bin\nx/003/velodyne/0.bin\n")
    lines = lines_of(call("list", "labels", "counted", "--data", "data", "--json")[1], "counted")
    assert lines["1%", "lasermix-list"]["digest"] == digest(["003/0", "007/1"])


def test_a_variant_of_the_card(call: Call) -> None:
    out = call("list", "labels", "counted:halves", "--data", "data", "--json")[1]
    half = lines_of(out, "counted:halves")["50%", "sequence"]
    assert (half["frames"], half["sequences"], half["is_own"]) == (6, 3, True)


def test_the_world_is_where_a_run_puts_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    session = open_session(Request(suite="table1", profile="smoke", store=store), write=True)
    keys = [
        key
        for key, job in session.expansion.jobs.items()
        if job.stage == "world" and job.config["dataset"] == "semantickitti"
    ]
    (Store(store).artifact(keys[0]) / "semantickitti").mkdir(parents=True)
    monkeypatch.setitem(DATASETS._entries, "semantickitti", Counted)
    monkeypatch.setattr(Counted, "frames", lambda *_: [Frame("a", "s", 0, 0.0)])
    words = ("list", "labels", "--profile", "smoke", "--store", str(store), "--json")
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert lines_of(out, "semantickitti")["100%", "stride"]["frames"] == 1
    code, _, err = call("list", "labels", "--store", str(store))
    assert code == 2 and "the world of the profile embedded is not here" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("countd", "--data", "data"), 'Did you mean "counted"?'),
        (("counted:halfs", "--data", "data"), 'Did you mean "halves"?'),
        (("semantickitti", "--data", "data"), "There is nothing of semantickitti here."),
        (("--data", "nowhere"), "There is nothing of any data set here."),
        (("--profile", "smok"), 'Did you mean "smoke"?'),
        (("counted",), 'There is no data set of the world "counted"'),
        ((), "lima-bench prepare table2 --profile embedded"),
    ],
)
def test_what_the_user_can_mend(words: tuple[str, ...], expected: str, call: Call) -> None:
    code, out, err = call("list", "labels", *words)
    assert (code, out) == (2, "")
    assert expected in err and "Traceback" not in err


def test_only_labels_are_of_a_data_set(call: Call) -> None:
    code, _, err = call("list", "methods", "nuscenes")
    assert code == 2 and "list labels nuscenes" in err

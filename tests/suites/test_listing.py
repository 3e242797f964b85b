"""``list methods``: what each method sees, learns and needs, in columns and for programs."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.recipes import Settings
from lima_bench.suites.verbs.methods import method_lines, method_object


class Long(Settings):
    frames: int = 6
    must: int


class Short(Settings):
    frames: Annotated[int, Field(ge=1, le=4)] = 3


CARDS = {
    "still": MethodCard(name="still", title="Still", venue="X'20", needs=(), learns=False,
                        implementation="x:y"),
    "walk": MethodCard(name="walk", title="Walk", settings=Long, order="streams",
                       implementation="x:y", note="reads a stand-in"),
    "masks": MethodCard(name="masks", title="Masks", needs=("features", "superpixels", "sweeps"),
                        segments="semantic", frames=3, heads_2d="linear", reconstruction=True,
                        implementation="x:y"),
    "blobs": MethodCard(name="blobs", title="Blobs", needs=("clusters",),
                        clusters="pseudo_instances", implementation="x:y"),
    "short": MethodCard(name="short", title="Short", settings=Short, needs=(),
                        implementation="x:y"),
    "later": MethodCard(name="later", title="Later", frames=2),
}  # fmt: skip


def row(name: str) -> str:
    (line,) = [line for line in method_lines(CARDS) if line.startswith(f"{name} ")]
    return line


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("still", ["Still, X'20", "–", "–", "–", "–"]),
        ("walk", ["Walk", "6 (any)", "yes", "–", "scenes in order of time"]),
        (
            "masks",
            ["Masks†", "3", "yes", "linear",
             "superpixels (semantic), sweeps, neighbouring keyframes"],
        ),
        ("short", ["Short", "3 (1 to 4)", "–", "–", "–"]),
        ("blobs", ["Blobs", "1", "–", "–", "clusters (pseudo instances)"]),
        ("later", ["Later", "2", "(not built yet)"]),
    ],
)  # fmt: skip
def test_a_line_says_everything(name: str, parts: list[str]) -> None:
    assert [part.strip() for part in row(name).split("  ") if part.strip()][1:] == parts


def test_columns_are_aligned() -> None:
    header, *lines = list(method_lines(CARDS))[: len(CARDS) + 1]
    for title in ("method", "frames", "teacher", "2D heads", "needs"):
        at = header.index(title)
        assert all(line[at - 1 : at] in ("", " ") for line in lines), title


def test_marks_and_notes_are_explained_below() -> None:
    lines = list(method_lines(CARDS))
    assert lines[-2].startswith("† reconstruction")
    assert lines[-1] == "walk: reads a stand-in"
    plain = {name: card for name, card in CARDS.items() if not card.reconstruction}
    assert not any(line.startswith("†") for line in method_lines(plain))


def test_programs_get_values_and_nothing_is_claimed_of_what_is_not_built() -> None:
    masks = method_object(CARDS["masks"])
    assert masks["needs"] == ["superpixels (semantic)", "sweeps", "neighbouring keyframes"]
    assert (masks["frames"], masks["frames_settable"], masks["teacher"]) == (3, False, True)
    assert (masks["heads_2d"], masks["reconstruction"]) == ("linear", True)
    assert method_object(CARDS["walk"])["frames_settable"] is True
    assert method_object(CARDS["still"])["frames"] is None
    later = method_object(CARDS["later"])
    assert later["state"] == "not built yet" and later["frames"] == 2
    assert not {"needs", "teacher", "heads_2d"} & later.keys()

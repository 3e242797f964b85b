"""The ablation asks every question that LiMA's settings leave open, one at a time."""

from typing import Literal, get_args, get_origin

import pytest

from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.suites.known import gather
from lima_bench.suites.load import load

TOGETHER = {"align", "voxel_m"}, {"pool", "sim_threshold"}
"""Settings that mean nothing without each other."""


@pytest.fixture(scope="module")
def rows():
    """Changes to the defaults, per row of `lima` that is no step of the part-by-part ladder."""
    steps = ("order", "cross-view", "memory")
    ladder = {*steps, *(f"random-{step}" for step in steps)}
    suite = load("ablation", "embedded", gather()).suite
    changed = {row.id: dict(row.settings) for row in suite.rows if row.method == "lima"}
    for row in suite.rows:
        if row.frames is not None:
            changed[row.id]["frames"] = row.frames
    return {name: changes for name, changes in changed.items() if name not in ladder}


@pytest.mark.parametrize(
    "name", [n for n, f in LimaSettings.model_fields.items() if get_origin(f.annotation) is Literal]
)
def test_every_choice_of_an_axis_has_a_row(rows, name):
    field = LimaSettings.model_fields[name]
    asked = {changes[name] for changes in rows.values() if name in changes}
    if name == "mix":
        asked.add("none")  # the ladder's row `memory`
    assert asked == set(get_args(field.annotation)) - {field.default}


def test_rows_change_one_thing_at_a_time(rows):
    for name, changes in rows.items():
        assert len(changes) <= 1 or set(changes) in TOGETHER, name
    assert {changes["frames"] for changes in rows.values() if "frames" in changes} | {6} == set(
        range(1, 9)
    )


def test_both_ladders_have_the_same_steps():
    suite = load("ablation", "embedded", gather()).suite
    settings = {row.id: dict(row.settings) for row in suite.rows}
    for step, drawn in {
        "order": "random-order",
        "cross-view": "random-cross-view",
        "memory": "random-memory",
        "lima": "random-access",
    }.items():
        assert settings[drawn] == {**settings[step], "access": "random"}

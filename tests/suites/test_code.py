"""Which code a number depends on."""

from __future__ import annotations

import pytest

from lima_bench.suites import code
from lima_bench.suites.code import CodeKeys, lineage
from lima_bench.suites.job import STAGES, Job

UPSTREAM = {"features", "superpixels", "clusters", "adopt", "pretrain"}
TASKS = {"linear_probe", "finetune", "detect"}


def stages_that_change(monkeypatch: pytest.MonkeyPatch, part: str) -> set[str]:
    """Stages whose digest is another one after an edit in `part`."""
    parts = dict.fromkeys(("common", "datasets", "lima", "downstream"), "before")
    monkeypatch.setattr(code, "_part_digest", lambda name: parts[name])
    before = code.read_code.__wrapped__()
    parts[part] = "after"
    after = code.read_code.__wrapped__()
    return {stage for stage in STAGES if before[stage] != after[stage]}


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("common", {*STAGES}),
        ("datasets", {*STAGES}),
        ("lima", UPSTREAM | TASKS),
        ("downstream", TASKS),
    ],
)
def test_an_edit_changes_what_depends_on_it(
    part: str, changed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stages_that_change(monkeypatch, part) == changed


def test_sources_on_disk_are_read_and_repeat() -> None:
    first = code.read_code.__wrapped__()
    assert first == code.read_code.__wrapped__()
    assert set(first) == set(STAGES)
    assert len({first[stage] for stage in ("world", "pretrain", "finetune")}) == 3


def test_plug_ins_count_for_their_own_jobs_only() -> None:
    keys = CodeKeys({stage: stage for stage in STAGES}, {"method mine": "a", "dataset other": "b"})
    mine = Job("pretrain", 1, {"method": "mine", "data": {"dataset": "nuscenes"}}, 0)
    read = Job("finetune", 1, {"data": {"dataset": "other"}}, 0)
    plain = Job("pretrain", 1, {"method": "lima", "data": {"dataset": "nuscenes"}}, 0)
    assert keys.own(plain) == "pretrain"
    assert len({keys.own(mine), keys.own(read), "pretrain", "finetune"}) == 4


def test_a_lineage_holds_all_that_came_before() -> None:
    plain = lineage("code", {"checkpoint": "a", "world": "b"})
    assert plain == lineage("code", {"world": "b", "checkpoint": "a"})
    assert plain != lineage("code", {"checkpoint": "c", "world": "b"})
    assert plain != lineage("other", {"checkpoint": "a", "world": "b"})

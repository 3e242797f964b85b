"""Keys are stored for years: a table of jobs and the keys that they must keep.

A rule that changes on purpose adds its new key here and keeps the old one in `RETIRED`.
"""

from __future__ import annotations

import pytest

from lima_bench.suites.job import Job

TABLE = [
    (
        Job("world", 1, {"spec": {"seed": 0}}),
        "8fdd9d4a6cf98c905f9b70901b32c4fe9bf83688d428bbdddb89a45cd4cf1087",
    ),
    (
        Job("pretrain", 1, {"method": "random"}, 0),
        "36c6d5d6c664572c7bce93fd766a21d3f52332839a770503ea0d6528fd01ea1e",
    ),
    (
        Job("pretrain", 1, {"method": "random"}, 1),
        "6a146cd499060aec2c8ca301d25981793b65a4aa18f3b7f4b4a868de819a8749",
    ),
    (
        Job("pretrain", 2, {"method": "random"}, 0),
        "86c3dbe109b58ea58cb5c9b05e17371cf482fff21cbad759849acc7993c9565b",
    ),
    (
        Job("finetune", 1, {"recipe": {"lr": 0.001, "b": [1, 2]}}, 0, {"checkpoint": "a"}),
        "cb48eabb893af2b5e1f600bd97d35219376ad21545701ccefef4fb625325ce2e",
    ),
    (
        Job("finetune", 1, {"recipe": {"b": [1, 2], "lr": 1e-3}}, 0, {"checkpoint": "b"}),
        "77acdd6967cacabc7851f5fe15f96110beed41f042ab31037b275be04a8f737a",
    ),
]
RETIRED: list[str] = []
"""Keys of earlier rules; no rule may give one of them to other work."""


@pytest.mark.parametrize(("job", "key"), TABLE)
def test_keys_stay(job: Job, key: str) -> None:
    assert job.key == key


def test_keys_differ_and_are_never_reused() -> None:
    keys = [job.key for job, _ in TABLE]
    assert len({*keys, *RETIRED}) == len(keys) + len(RETIRED)


def test_runtime_stays_out() -> None:
    plain = Job("finetune", 1, {"a": 1}, 0)
    assert Job("finetune", 1, {"a": 1}, 0, runtime={"precision": "16-mixed"}).key == plain.key

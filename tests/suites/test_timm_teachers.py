"""Suites name any model of timm as a teacher; the digest of its weights enters the keys."""

import pytest
import torch
from safetensors.torch import save_file

from lima_bench.common.errors import UserError
from lima_bench.lima.teachers.files import WEIGHTS_VARIABLE
from lima_bench.suites.known import gather
from tests.lima.timm_here import timm_or_skip

SUITE = """schema: 1
name: mine
title: x
defaults: {{pretrain_on: nuscenes}}
rows:
  - {{id: a, method: scalr, teacher: "timm:{name}"}}
columns:
  - {{id: lp, task: linear_probe, on: nuscenes}}
"""


def keys_of(expansion):
    return {job.config["teacher"]["weights"]: key for key, job in features(expansion)}


def features(expansion):
    return [(key, job) for key, job in expansion.jobs.items() if job.stage == "features"]


def test_a_suite_may_name_any_model_of_timm(tmp_path, monkeypatch, write_suite, expanded):
    timm = timm_or_skip()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    suite, keys = write_suite(SUITE.format(name="resnet18")), {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = timm.create_model("resnet18", pretrained=False).state_dict()
        save_file(state, tmp_path / "timm--resnet18.safetensors")
        expansion = expanded(suite, "smoke", gather())
        assert [job.config["teacher"]["name"] for _, job in features(expansion)] == [
            "timm:resnet18"
        ]
        keys |= keys_of(expansion)
    assert "" not in keys and len(keys) == len(set(keys.values())) == 2


def test_a_mistyped_model_is_told_at_its_place(write_suite, expanded):
    timm_or_skip()
    with pytest.raises(UserError, match=r'mine.yaml:6:\d+.*"timm:resnet1O"') as caught:
        expanded(write_suite(SUITE.format(name="resnet1O")), "smoke", gather())
    assert 'mean "timm:resnet1' in str(caught.value)


def test_without_timm_the_suite_tells_the_extra(monkeypatch, write_suite, expanded):
    monkeypatch.setattr("lima_bench.common.optional.available", lambda package: False)
    with pytest.raises(UserError, match=r"mine.yaml:6:\d+") as caught:
        expanded(write_suite(SUITE.format(name="resnet18")), "smoke", gather())
    assert "lima-bench[teachers]" in str(caught.value)

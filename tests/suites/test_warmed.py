"""What every worker is forked with: compiled loops, and nothing for the garbage collector to do."""

from __future__ import annotations

import json
import subprocess
import sys

FORKED = """
import gc, json, os, sys
from lima_bench.suites.executors import warmed
from lima_bench.lima.backbones.sparse.fused_kernels import convolve_blocks

def fail():
    raise ValueError

def loaded():
    assert gc.get_freeze_count() > 100_000
    assert convolve_blocks.overloads  # found in memory, not on disk
    warmed._warm()

trials = (warmed._compute, loaded, fail)
print(json.dumps([warmed._works_in_fork(trial) for trial in trials]))
"""


def test_a_fork_finds_loops_loaded_and_computes_gradients() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == [True, True, False]
    assert done.stderr == ""


UNABLE = """
import json, sys, torch
from lima_bench.lima import warm

calls = []
warm.main = lambda: calls.append("upstream")
# As where torch sees a GPU: no gradient in a fork of what has computed one.
torch.Tensor.backward = lambda self: sys.exit(1)
from lima_bench.suites.executors import warmed

print(json.dumps(calls))
"""


def test_nothing_is_computed_before_forks_that_could_not_compute_then() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNABLE], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == []

"""Where numba cannot be imported everything still works, slowly and not in silence."""

import json
import subprocess
import sys

import pytest

STEP = """
import json, sys, warnings
if {absent}:
    sys.modules["numba"] = None
import numpy as np, torch
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.engine import name_on
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import voxelise
points = np.random.default_rng(0).normal(0, 4, (600, 3)).astype(np.float32)
cloud = np.repeat(np.arange(2), 300)
features = np.column_stack((points, points[:, :1]))
voxels = voxelise(points, features, cloud, VoxelSettings(), n_clouds=2, n_levels=4)
torch.manual_seed(0)
student = Student(build_backbone("minkunet_tiny", 4, bn_momentum=0.1))
loss = student(voxels).square().mean()
loss.backward()
size = sum(p.grad.double().square().sum() for p in student.parameters() if p.grad is not None)
numbers = [voxels.coords.sum().item(), loss.item(), size.item()]
print(json.dumps([name_on(torch.device("cpu")), *numbers]))
"""


def one_step(absent):
    code = STEP.format(absent=absent)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def test_a_step_is_the_same_and_says_what_it_lacks():
    (slow_engine, *slow), said = one_step(absent=True)
    (fast_engine, *fast), silent = one_step(absent=False)
    assert (slow_engine, fast_engine) == ("reference", "fused")
    assert slow == pytest.approx(fast, rel=1e-3)
    assert "run uncompiled" in said and "no fused engine" in said
    assert "uncompiled" not in silent

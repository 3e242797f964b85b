"""After warming, a process that loads, looks back, convolves or normalises compiles nothing."""

import subprocess
import sys

from lima_bench.lima import warm

SECOND = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
import torch
from lima_bench.lima import backbones, clouds
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.norm import BatchNorm, normed
from lima_bench.lima.recipes import StudentSettings, VoxelSettings

cartesian = VoxelSettings(kind="cartesian", rounding="floor", shift="aligned16")
for grid in (VoxelSettings(), cartesian):
    for n_points in (0, 1, 50):
        points = np.random.default_rng(0).normal(0, 3, (n_points, 3)).astype(np.float32)
        points.flags.writeable = False
        made = clouds.Cloud(points, points, np.arange(n_points), np.eye(4))
        student = StudentSettings(backbone="minkunet_tiny", voxels=grid)
        voxels = clouds.collate_clouds([made, made], student, with_maps=True)
        Level.of(voxels.coords.int().T.contiguous().T, n_levels=2)
norm = BatchNorm(3)
for learning in (True, False):
    features = torch.ones(9, 3, requires_grad=learning)
    with torch.set_grad_enabled(learning):
        out = normed(norm.train(learning), features, features + 1)
    if learning:
        out.sum().backward()
from lima_bench.lima.nearest import nearest_rows, rows_within
for n_points in (0, 1, 50):
    points = np.random.default_rng(0).normal(0, 3, (n_points, 3)).astype(np.float32)
    points.flags.writeable = False
    nearest_rows(points[::2], np.linalg.solve(np.eye(4), np.eye(4)), points, 1)
    rows_within(points[::2], points, 1, most=3)
modules = [module for name, module in sys.modules.items() if name.startswith("lima_bench.lima")]
kernels = {k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)}
used = [kernel for kernel in kernels if kernel.stats.cache_hits or kernel.stats.cache_misses]
assert len(used) >= 13, used
late = [kernel.__name__ for kernel in kernels if kernel.stats.cache_misses]
sys.exit(f"compiled: {late}" if late else 0)
"""


def test_a_second_process_compiles_nothing():
    warm.main()
    done = subprocess.run([sys.executable, "-c", SECOND], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

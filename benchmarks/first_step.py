"""``python -m benchmarks.first_step ENGINE``: one training step in a fresh process, for `start`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import torch

    from benchmarks.nets import contestant
    from benchmarks.scans import QUICK, scan_voxels

    torch.set_num_threads(1)
    contestant("minkunet_tiny", sys.argv[1], scan_voxels(QUICK)).learn()

"""A detection head's branches side by side, against one after another, forward and backward.

Offers `rows`. As the built-in world's detectors have them: thirty-six branches, eight channels wide
inside, on a map of 48 x 48 cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.rows import Row, interleave
from lima_bench.downstream.detection.branches import branch_maps

SHARED, INSIDE = 32, 8
CELLS, QUICK_CELLS = 48, 12
OUTPUTS = {
    "centerpoint": {"reg": 2, "height": 1, "dim": 3, "rot": 2, "vel": 2, "heatmap": 1},
    "second": {"classes": 8, "xy": 8, "z": 4, "size": 12, "angle": 8, "velocity": 8},
}
GROUPS = 6


def rows(quick: bool) -> list[Row]:
    """One row for each detector."""
    cells, rounds = (QUICK_CELLS, 3) if quick else (CELLS, 15)
    return [_row(name, outputs, cells, rounds) for name, outputs in OUTPUTS.items()]


def _row(name: str, outputs: dict[str, int], cells: int, rounds: int) -> Row:
    torch.manual_seed(0)
    groups = [{part: _branch(width) for part, width in outputs.items()} for _ in range(GROUPS)]
    shared = torch.randn(1, SHARED, cells, cells).to(memory_format=torch.channels_last)
    shared.requires_grad_()

    def together() -> None:
        _learn([one for group in branch_maps(groups, shared) for one in group.values()])

    def alone() -> None:
        _learn([branch(shared) for group in groups for branch in group.values()])

    timings = interleave({"together": together, "alone": alone}, rounds=rounds)
    note = f"{timings.sample('together', 1e3).median:.1f} ms a frame, forward and backward"
    ratio = timings.ratio("alone", "together")
    return Row.of(f"heads/{name} together over alone", ratio, "x", at_least=1, note=note)


def _branch(width: int) -> nn.Sequential:
    branch = nn.Sequential(
        nn.Conv2d(SHARED, INSIDE, 3, padding=1, bias=False),
        nn.BatchNorm2d(INSIDE),
        nn.ReLU(inplace=True),
        nn.Conv2d(INSIDE, width, 3, padding=1),
    )
    return branch.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _learn(maps: list[Tensor]) -> None:
    torch.autograd.backward([one.square().sum() for one in maps])

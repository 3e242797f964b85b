"""Every method that learns learns one small batch by heart."""

from __future__ import annotations

import pytest

from lima_bench.lima.methods.catalogue import METHODS
from tests.lima.overfit import losses

LEARNING = [n for n in METHODS.names() if METHODS.get(n).is_built and METHODS.get(n).learns]


CHANGING = ["tricc", "csc", "hvdistill"]
"""Something is switched on in the course of a run."""


@pytest.mark.parametrize("name", LEARNING)
def test_loss_falls_by_half_in_fifty_steps(name):
    found = losses(METHODS.get(name))
    assert found[-1] < 0.5 * found[0], found[::10]


@pytest.mark.parametrize("name", CHANGING)
def test_so_it_does_late_in_a_run(name):
    found = losses(METHODS.get(name), late=True)
    assert found[-1] < 0.5 * found[0], found[::10]

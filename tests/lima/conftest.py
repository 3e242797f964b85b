"""Fixtures: the tiny teacher with weights of its own."""

from __future__ import annotations

import pytest
import torch

from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.tiny import tiny


@pytest.fixture(scope="session")
def teacher() -> Teacher:
    """Frozen, drawn once: what it was taught does not matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Teacher(TEACHERS.get("tiny"), tiny())

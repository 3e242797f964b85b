"""Random: no pretraining.  The checkpoint holds the initial weights; the loop is never entered."""

from __future__ import annotations

from torch import nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.methods.cards.random import RandomSettings


class Random(nn.Module):
    """The student as it was initialised; its card says that it does not learn."""

    def __init__(self, settings: RandomSettings, teacher: Teacher | None, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch) -> Loss:
        """There is nothing to learn from.

        Raises:
            RuntimeError: Always; a method whose card says ``learns=False`` has no loss.
        """
        raise RuntimeError("random has no loss: write the initial weights instead of training")

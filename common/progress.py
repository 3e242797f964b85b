"""How a running job tells how far it is: one call a step, whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Report(Protocol):
    """Receives the progress of one job."""

    def __call__(self, done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        """`done` of `total` steps are finished; `metrics` are scalars measured at this step."""


def silent(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
    """A `Report` that nobody hears."""

"""No pretraining: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.recipes import Settings


class RandomSettings(Settings):
    """No pretraining: the initial weights."""


CARD = MethodCard(
    name="random",
    title="Random",
    implementation="lima_bench.lima.methods.random:Random",
    settings=RandomSettings,
    needs=(),
    learns=False,
)

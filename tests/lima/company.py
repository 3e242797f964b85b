"""Batches with the company and the views that a method asks for, in float64."""

from __future__ import annotations

import numpy as np
import torch

from lima_bench.lima.api import load_method
from lima_bench.lima.batch import Batch, Moment
from lima_bench.lima.company import company_of
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.synthetic import SyntheticScan, accompanied, random_drive, without_pairs
from lima_bench.lima.synthetic_batch import FIRST, collate
from lima_bench.lima.views import plan_views

Drive = tuple[SyntheticScan, ...]


def drives(names: str = "ab", *, points: int = 40, frames: int = 3) -> list[Drive]:
    """A recording per name."""
    return [random_drive(name, frames=frames, points=points) for name in names]


def batch_of(name: str, own: list[Drive] | None = None, moment: Moment = FIRST) -> Batch:
    """What the method `name` is shown when the step is about the first frame of each drive."""
    chosen, card = own or drives(), METHODS.get(name)
    cls, settings = load_method(card), card.settings()
    placed = accompanied([drive[0] for drive in chosen], chosen, company_of(cls, settings))
    plan = plan_views(cls, settings, [one.input for one in placed], np.random.default_rng(0))
    return collate(placed, plan, dtype=torch.float64, moment=moment)


def odd_batches(name: str) -> dict[str, Batch]:
    """A scan that no camera overlaps, a recording of one frame, and a single scan."""
    first, second = drives()
    return {
        "one scan unseen": batch_of(name, [tuple(map(without_pairs, first)), second]),
        "recordings of one frame": batch_of(name, drives(frames=1)),
        "one scan": batch_of(name, [first]),
    }

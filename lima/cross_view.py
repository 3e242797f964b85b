"""LiMA's first idea: cameras that see the same point agree on one feature for it.

Pixel features per pair -> `observe` -> `Observed` -> `lima_bench.lima.propagation`. Equation and
axes: methods-temporal 3.3; the published figure fixes only that unification is per LiDAR point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.losses import unit
from lima_bench.lima.methods.catalogue import Cva

_LEAST_WEIGHT = 1e-6  # a pixel in the very corner of its image still counts when it is alone


@dataclass(frozen=True)
class Observed:
    """What the cameras say about points, in the order of the points.

    Attributes:
        point: The point that each feature belongs to, ascending; repeated if not unified.
        features: One feature each.
    """

    point: Int[Tensor, " features"]
    features: Float[Tensor, "features width"]


def observe(
    pixels: Float[Tensor, "pairs width"], pairs: PairIndex, size: tuple[int, int], operator: Cva
) -> Observed:
    """Unify the pixel features of each point over the cameras that see it.

    Args:
        pixels: The teacher's feature of each pair.
        pairs: `point` says what to unify; `row` and `col` how central a pixel is.
        size: (height, width) that rows and columns refer to.
        operator: ``off`` keeps every pair; ``mean`` of the raw features; ``mean_of_normalised``;
            ``center_weighted`` by one minus the distance to the image centre over half the
            diagonal; ``nearest_center`` takes the most central camera; ``max`` per channel.
    """
    if operator == "nearest_center":
        order = torch.argsort(_centredness(pairs, size), descending=True, stable=True)
        order = order[torch.argsort(pairs.point[order], stable=True)]
    else:
        order = torch.argsort(pairs.point, stable=True)
    point = pairs.point[order]
    if operator == "off":
        return Observed(point, pixels[order])
    groups = _Groups.of(point)
    if operator == "nearest_center":
        return Observed(groups.point, pixels[order[groups.first]])
    if operator == "max":
        return Observed(groups.point, groups.maximum(pixels[order]))
    if operator == "mean_of_normalised":
        pixels = unit(pixels)
    if operator == "center_weighted":
        weight = _centredness(pairs, size)[order].to(pixels.dtype)
    else:
        weight = pixels.new_ones(len(point))
    return Observed(groups.point, groups.weighted_mean(pixels[order], weight))


def _centredness(pairs: PairIndex, size: tuple[int, int]) -> Float[Tensor, " pairs"]:
    """1 at the image centre, almost 0 in its corners."""
    middle_row, middle_col = ((length - 1) / 2 for length in size)
    distance = torch.hypot(pairs.row.double() - middle_row, pairs.col.double() - middle_col)
    half_diagonal = max(math.hypot(middle_row, middle_col), 1.0)
    return (1 - distance / half_diagonal).clamp_min(_LEAST_WEIGHT)


@dataclass(frozen=True)
class _Groups:
    """Runs of equal points in a sorted list.

    Most points are seen once and hardly any more than twice, so each operator starts from the
    first of every run and visits the few others rank by rank: exact, ordered and cheap.
    """

    point: Int[Tensor, " groups"]
    first: Int[Tensor, " groups"]
    count: Int[Tensor, " groups"]

    @classmethod
    def of(cls, point: Int[Tensor, " rows"]) -> _Groups:
        """The runs of a sorted list."""
        unique, count = torch.unique_consecutive(point, return_counts=True)
        return cls(unique, count.cumsum(0) - count, count)

    def _others(self) -> list[tuple[Tensor, Tensor]]:
        """For each rank from the second on: the groups that have one, and its row."""
        most = int(self.count.max()) if len(self.count) else 0
        ranks = [(rank, torch.nonzero(self.count > rank).squeeze(1)) for rank in range(1, most)]
        return [(group, self.first[group] + rank) for rank, group in ranks]

    def weighted_mean(
        self, values: Float[Tensor, "rows width"], weight: Float[Tensor, " rows"]
    ) -> Float[Tensor, "groups width"]:
        total = weight[self.first]
        for group, row in self._others():
            total = total.index_add(0, group, weight[row])
        mean = values[self.first] * (weight[self.first] / total)[:, None]
        for group, row in self._others():
            mean.index_add_(0, group, values[row] * (weight[row] / total[group])[:, None])
        return mean

    def maximum(self, values: Float[Tensor, "rows width"]) -> Float[Tensor, "groups width"]:
        best = values[self.first]
        for group, row in self._others():
            best[group] = torch.maximum(best[group], values[row])
        return best

"""LiMA's first idea: cameras that see the same point agree on one feature for it.

Feature grids + pairs -> `observe` -> `Sight` -> `lima_bench.lima.propagation`. Equation and axes:
methods-temporal 3.3; the published figure fixes only that unification is per LiDAR point.

Reading a pixel and unifying cameras are both weighted sums of grid cells, so a point's feature is
one sum over the four or eight cells behind it. A `Sight` therefore keeps cells and weights, and
features are made for as many points at a time as one likes, never for all of them at once: at the
paper's sizes the grids of a scan are a sixth of its points' features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.blocks import block_slices
from lima_bench.lima.losses import inverse_length, widen
from lima_bench.lima.methods.cards.lima import Cva
from lima_bench.lima.sampling import corners
from lima_bench.lima.tree import to_device

_LEAST_WEIGHT = 1e-6  # a pixel in the very corner of its image still counts when it is alone


@dataclass(frozen=True)
class Sight:
    """What the cameras of one scan say about its points.

    Attributes:
        point: The point that each row is about, ascending; repeated if not unified.
        first: First sample of each row, and the number of samples at the end. A sample is one
            camera's pixel.
        cells: The four grid cells around each sample.
        shares: Their weights.
        grids: The cells' features, image after image.
        largest: Take the largest value per channel over a row's samples, not their sum.
    """

    point: Int[Tensor, " rows"]
    first: Int[Tensor, " rows_plus_one"]
    cells: Int[Tensor, "samples 4"]
    shares: Float[Tensor, "samples 4"]
    grids: Float[Tensor, "cells width"]
    largest: bool = False

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.point)

    def features(self, start: int, stop: int) -> Float[Tensor, "some width"]:
        """The features of a range of rows."""
        first, last = int(self.first[start]), int(self.first[stop])
        cells, shares = self.cells[first:last], self.shares[first:last]
        begins = self.first[start:stop] - first
        if not self.largest:
            return F.embedding_bag(
                cells.flatten(),
                self.grids,
                4 * begins,
                mode="sum",
                per_sample_weights=shares.flatten(),
            )
        each = F.embedding_bag(cells, self.grids, mode="sum", per_sample_weights=shares)
        row = torch.repeat_interleave(self.first[start : stop + 1].diff())
        best = each.new_full((stop - start, each.shape[1]), -torch.inf)
        return best.scatter_reduce(0, row[:, None].expand_as(each), each, "amax")

    def take(self, rows: Int[Tensor, " asked"]) -> Sight:
        """These rows, in this order."""
        begin = self.first.index_select(0, rows)
        count = self.first.index_select(0, rows + 1) - begin
        first = F.pad(count.cumsum(0, dtype=count.dtype), (1, 0))
        row = torch.repeat_interleave(count)
        samples = torch.arange(len(row), device=rows.device, dtype=count.dtype)
        samples += (begin - first[:-1]).index_select(0, row)
        return replace(
            self,
            point=self.point.index_select(0, rows),
            first=first,
            cells=self.cells.index_select(0, samples),
            shares=self.shares.index_select(0, samples),
        )

    @classmethod
    def of_features(cls, features: Float[Tensor, "rows width"]) -> Sight:
        """Rows 0, 1, ... whose features are given as they are."""
        rows = torch.arange(len(features) + 1, device=features.device, dtype=torch.int32)
        shares = features.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(features), 4)
        return cls(rows[:-1].long(), rows, rows[:-1, None].expand(-1, 4), shares, features)

    def averaged(self, group: Int[Tensor, " rows"], n_groups: int) -> Sight:
        """One row per group: the mean of the features of its rows.

        The means are made here and now: a group may be asked for by as many points as it has rows.
        """
        source = self.unpacked(widen(self.shares).dtype)
        total = source.grids.new_zeros((n_groups, self.grids.shape[1]))
        for part in block_slices(len(self), self.grids.shape[1], self.grids.device):
            total.index_add_(0, group[part], source.features(part.start, part.stop))
        count = torch.bincount(group, minlength=n_groups).clamp(min=1)
        return Sight.of_features(total / count[:, None])

    def once(self) -> Sight:
        """One row per point: the first."""
        _, count = torch.unique_consecutive(self.point, return_counts=True)
        return self if len(count) == len(self) else self.take(count.cumsum(0) - count)

    def packed(self) -> Sight:
        """The same on a copy of the cells that it refers to, in half precision."""
        if len(self.cells) == 0:
            return replace(self, grids=self.grids[:1].half())
        low, high = self.cells.aminmax()
        return replace(self, cells=self.cells - low, grids=self.grids[low : high + 1].half())

    def on(self, device: torch.device) -> Sight:
        """The same on `device`."""
        return self if self.grids.device == device else to_device(self, device)

    def unpacked(self, dtype: torch.dtype) -> Sight:
        """The same with grids and weights to compute with."""
        return replace(self, grids=self.grids.to(dtype), shares=self.shares.to(dtype))


def observe(
    grids: Float[Tensor, "images h w width"],
    pairs: PairIndex,
    size: tuple[int, int],
    operator: Cva,
) -> Sight:
    """Unify the pixel features of each point over the cameras that see it.

    Args:
        grids: The teacher's features.
        pairs: `point` says what to unify, the others where each camera sees it.
        size: (height, width) that rows and columns refer to.
        operator: ``off`` keeps every pair; ``mean`` of the raw features; ``mean_of_normalised``;
            ``center_weighted`` by one minus the distance to the image centre over half the
            diagonal; ``nearest_center`` takes the most central camera; ``max`` per channel.
    """
    grids = widen(grids)
    order = torch.argsort(pairs.point, stable=True)
    if operator == "nearest_center":
        order = torch.argsort(_centredness(pairs, size), descending=True, stable=True)
        order = order[torch.argsort(pairs.point[order], stable=True)]
    cells, shares = corners(grids.shape, pairs, size, grids.dtype)
    every = Sight(
        point=pairs.point[order],
        first=torch.arange(len(order) + 1, device=order.device, dtype=torch.int32),
        cells=cells[order].int(),
        shares=shares[order],
        grids=grids.flatten(0, 2),
        largest=operator == "max",
    )
    if operator == "off":
        return every
    if operator == "nearest_center":
        return every.once()
    weight = every.shares.new_ones(len(order))
    if operator == "center_weighted":
        weight = _centredness(pairs, size)[order].to(weight.dtype)
    scale = _inverse_lengths(every) if operator == "mean_of_normalised" else None
    return _unified(every, weight, scale)


def _unified(
    every: Sight, weight: Float[Tensor, " samples"], scale: Float[Tensor, " samples"] | None
) -> Sight:
    """One row per point from one row per sample: the weighted mean of the scaled samples."""
    point, owner, count = torch.unique_consecutive(
        every.point, return_inverse=True, return_counts=True
    )
    first = torch.cat([count.new_zeros(1), count.cumsum(0)]).int()
    if every.largest:
        return replace(every, point=point, first=first)
    total = weight.new_zeros(len(point)).index_add(0, owner, weight)
    part = weight / total[owner]
    part = part if scale is None else part * scale
    return replace(every, point=point, first=first, shares=every.shares * part[:, None])


def _inverse_lengths(every: Sight) -> Float[Tensor, " samples"]:
    """1 / length of each sample's feature; 0 where the length is 0."""
    parts = block_slices(len(every), every.grids.shape[1], every.grids.device)
    found = [inverse_length(every.features(part.start, part.stop)) for part in parts]
    return torch.cat([every.shares.new_zeros(0, 1), *found]).squeeze(1)


def _centredness(pairs: PairIndex, size: tuple[int, int]) -> Float[Tensor, " pairs"]:
    """1 at the image centre, almost 0 in its corners."""
    middle_row, middle_col = ((length - 1) / 2 for length in size)
    distance = torch.hypot(pairs.row.double() - middle_row, pairs.col.double() - middle_col)
    half_diagonal = max(math.hypot(middle_row, middle_col), 1.0)
    return (1 - distance / half_diagonal).clamp_min(_LEAST_WEIGHT)

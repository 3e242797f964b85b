"""Superpixels of a batch -> groups of pairs, pixels and cells, for methods that pool by them.

Offers `Segments`, `ids_of` and `superpoint_means`. A group is one superpixel of one image. Pixels
without a segment (id -1), and pairs that meet one, belong to no group and take no part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Student
from lima_bench.lima.losses import unit, widen
from lima_bench.lima.pooling import group_mean, superpixel_means
from lima_bench.lima.rows import paired_rows


@dataclass(frozen=True)
class SegmentPairs:
    """The pairs whose point the student sees and whose pixel lies in a segment.

    Attributes:
        pair: Which of the batch's pairs.
        row: The row of the student's input that is the pair's point.
        group: The group of the pair's pixel.
    """

    pair: Int[Tensor, " kept"]
    row: Int[Tensor, " kept"]
    group: Int[Tensor, " kept"]


@dataclass(frozen=True)
class Segments:
    """The superpixels of a batch's images.

    Attributes:
        ids: Per image from 0; -1 for none.
        n_ids: Room for so many ids per image: group ``image * n_ids + id``.
    """

    ids: Int[Tensor, "images H W"]
    n_ids: int

    @classmethod
    def of(cls, batch: Batch) -> Segments:
        """The superpixels of `batch`; room is made for the largest id that it has."""
        ids = ids_of(batch)
        return cls(ids, max(int(ids.max()) + 1, 1) if ids.numel() else 1)

    @property
    def n_groups(self) -> int:
        """Groups of all images, those without a pixel included."""
        return len(self.ids) * self.n_ids

    def pairs(self, batch: Batch) -> SegmentPairs:
        """The pairs that take part, in order."""
        kept, rows = paired_rows(batch)
        pairs = batch.pairs
        image = pairs.image[kept]
        segment = self.ids[image, pairs.row[kept], pairs.col[kept]].long()
        inside = torch.nonzero(segment >= 0).squeeze(1)
        group = image * self.n_ids + segment
        return SegmentPairs(kept[inside], rows[inside], group[inside])

    def point_means(
        self, batch: Batch, cells: Cells, embedded: Float[Tensor, "cells width"]
    ) -> tuple[Float[Tensor, "groups width"], Int[Tensor, " groups"]]:
        """Mean over the pairs of each group, and their number: a point seen twice counts twice.

        Args:
            batch: The step's data.
            cells: What the student says of it.
            embedded: Made of the features, cell by cell.
        """
        pairs = self.pairs(batch)
        return group_mean(cells.at(embedded, pairs.row), pairs.group, self.n_groups)

    def pixel_means(self, grids: Float[Tensor, "images h w width"]) -> Float[Tensor, "groups wide"]:
        """Mean over all pixels of each group, with or without points, of unit vectors.

        Args:
            grids: Features whose bilinear upsampling gives a pixel's vector; what is linear may
                already have acted on them, as upsampling weights sum to 1.
        """
        return superpixel_means(grids, self.ids, self.n_ids).flatten(0, 1)

    def cell_means(self, grids: Float[Tensor, "images h w width"]) -> Float[Tensor, "groups width"]:
        """Mean over the grid cells of each group, ids taken down to the grid's size by ``nearest``.

        A superpixel that no cell falls into has a zero vector.
        """
        images, height, width, channels = grids.shape
        rows, cols = (
            torch.arange(n, device=grids.device) * size // n
            for n, size in ((height, self.ids.shape[1]), (width, self.ids.shape[2]))
        )
        small = self.ids[:, rows[:, None], cols].long()
        first = self.n_ids * torch.arange(images, device=grids.device).view(-1, 1, 1)
        group = torch.where(small >= 0, small + first, self.n_groups)
        means, _ = group_mean(
            widen(grids).reshape(-1, channels), group.flatten(), self.n_groups + 1
        )
        return means[:-1]


def ids_of(batch: Batch) -> Int[Tensor, "images H W"]:
    """The superpixel of every pixel."""
    ids = batch.images.superpixels
    if ids is None:
        raise ValueError("the batch carries no superpixels: the method's card must ask for them")
    return ids


def superpoint_means(
    student: Student, head: nn.Module, batch: Batch, segments: Segments
) -> tuple[Float[Tensor, "groups width"], Int[Tensor, " groups"]]:
    """`Segments.point_means` of the unit embeddings of a head.

    Args:
        student: The network that is taught.
        head: From its features to the embedding; acts on each cell of its output.
        batch: The step's data.
        segments: Those of the batch.
    """
    cells = student.cells(batch.voxels)
    return segments.point_means(batch, cells, unit(head(cells.features)))

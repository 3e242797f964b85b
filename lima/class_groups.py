"""Means over one class in one scan: of its points, and of its pixels in all cameras.

Offers `point_class_means` and `pixel_class_means`, for methods whose superpixels are semantic
masks: ids that mean the same class in every image, so that cameras of a scan share their groups.
Pixels without a class (id -1), and pairs that meet one, belong to no group.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Student
from lima_bench.lima.losses import unit
from lima_bench.lima.pooling import SOFT_COUNT, group_mean, superpixel_means
from lima_bench.lima.segments import Segments, ids_of


def point_class_means(
    student: Student, head: nn.Module, batch: Batch
) -> tuple[Float[Tensor, "scans classes width"], Int[Tensor, "scans classes"]]:
    """Mean unit embedding of each class's points, and how many pairs that are.

    A point counts once for every camera that sees it. The mean of a class without
    points is 0.

    Args:
        student: The network that is taught.
        head: From its features to the embedding; acts on each cell of its output.
        batch: The step's data.
    """
    n_classes = batch.images.n_slots
    pairs = Segments(ids_of(batch), n_classes).pairs(batch)
    cells = student.cells(batch.voxels)
    points = cells.at(unit(head(cells.features)), pairs.row)
    # Not the image says which scan it is: a dense cloud looks through the images of its anchor.
    group = batch.view[pairs.row] * n_classes + pairs.group % n_classes
    shape = (len(batch.scans), n_classes)
    means, count = group_mean(points, group, shape[0] * shape[1])
    return means.view(*shape, -1), count.view(shape)


def pixel_class_means(
    grids: Float[Tensor, "images h w width"], batch: Batch
) -> Float[Tensor, "scans classes width"]:
    """Mean unit embedding over all pixels of each class in all images of a scan.

    Pixels count whether or not a point lies on them. A scan without images of its own, such as a
    dense cloud, has means 0.

    Args:
        grids: Features whose bilinear upsampling gives a pixel's vector; what is linear may
            already have acted on them, as upsampling weights sum to 1.
        batch: The step's data.
    """
    lenses, n_classes = batch.images.lenses, batch.images.n_slots
    if lenses is None:
        raise ValueError("the batch does not say which scan an image is of")
    # One more class takes the pixels without one.
    ids = ids_of(batch)
    filled = torch.where(ids >= 0, ids, n_classes).long()
    first = (n_classes + 1) * torch.arange(len(ids), device=ids.device).view(-1, 1, 1)
    shape = (len(ids), n_classes + 1)
    count = torch.bincount((filled + first).flatten(), minlength=shape[0] * shape[1]).view(shape)
    means = superpixel_means(grids, filled, n_classes + 1)
    # The soft count is undone image by image, and added once again.
    sums = means * (count.to(means.dtype) + SOFT_COUNT)[..., None]
    n_scans = len(batch.scans)
    total = sums.new_zeros((n_scans, *sums.shape[1:])).index_add(0, lenses.scan, sums)
    pixels = count.new_zeros((n_scans, n_classes + 1)).index_add(0, lenses.scan, count)
    mean = total / (pixels.to(total.dtype) + SOFT_COUNT)[..., None]
    return mean[:, :n_classes]

"""Bumps on heat maps: how wide an object's is, and all of a batch drawn at once.

Offers `radii_of` and `draw`. Source: CornerNet (Law and Deng, ECCV 2018), as CenterPoint uses it
(detection 2.3, 3.4).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


def radii_of(
    size: Float[Tensor, "objects 2"],
    *,
    min_overlap: float,
    min_radius: int,
    roots: Literal["cornernet", "exact"],
) -> Int[Tensor, " objects"]:
    """How many cells an object's bump reaches from its middle.

    Args:
        size: Length and width in cells, above 0.
        min_overlap: Overlap that a box of this size keeps when its corners are off by the radius.
        min_radius: Cells; what is less becomes this.
        roots: ``exact``: the largest radius that keeps `min_overlap`. ``cornernet``: what published
            code computes instead, the larger root where two are positive, and all divided by 2.
    """
    length, width = size.double().unbind(1)
    half_round, area, o = length + width, length * width, min_overlap
    # Corners one inwards and one outwards, both inwards, both outwards: a r^2 + b r + c = 0.
    cases = (
        (1.0, half_round, area * (1 - o) / (1 + o)),
        (4.0, 2 * half_round, area * (1 - o)),
        (4 * o, -2 * o * half_round, -area * (1 - o)),
    )
    found = [_root(a, b, c, roots) for a, b, c in cases]
    return torch.stack(found).amin(0).long().clamp(min=min_radius)


def _root(a: float, b: Tensor, c: Tensor, roots: Literal["cornernet", "exact"]) -> Tensor:
    """Where the overlap of one case falls to its bound; `b` is minus the linear coefficient."""
    spread = (b.square() - 4 * a * c).clamp(min=0).sqrt()
    if roots == "cornernet":
        return (b + spread) / 2
    # The overlap falls from r = 0 on: the smaller root, but the positive one if only one is.
    return torch.where(c < 0, b + spread, b - spread) / (2 * a)


def draw(
    shape: tuple[int, int, int],
    plane: Int[Tensor, " objects"],
    row: Int[Tensor, " objects"],
    column: Int[Tensor, " objects"],
    radius: Int[Tensor, " objects"],
) -> Float[Tensor, "planes rows columns"]:
    """A square bump for every object: 1 in its cell, the higher one where two overlap.

    Its sides are ``2 radius + 1`` cells and its standard deviation a sixth of that. Published code
    also clears values below the machine's epsilon; there are none, since exp(-9) is the least.

    Args:
        shape: Planes, rows, columns.
        plane: Where an object is drawn.
        row: Of its middle, on the map.
        column: Of its middle, on the map.
        radius: Cells.
    """
    n_planes, n_rows, n_columns = shape
    # No bump needs to reach farther than from border to border.
    reach = radius.clamp(max=max(n_rows, n_columns) - 1)
    side = 2 * reach + 1
    owner = torch.arange(len(plane), device=plane.device).repeat_interleave(side.square())
    before = side.square().cumsum(0) - side.square()
    place = torch.arange(len(owner), device=plane.device) - before[owner]
    down = place.div(side[owner], rounding_mode="floor") - reach[owner]
    right = place % side[owner] - reach[owner]
    deviation = (2 * radius[owner] + 1).float() / 6
    height = torch.exp(-(down.square() + right.square()).float() / (2 * deviation.square()))
    y, x = row[owner] + down, column[owner] + right
    inside = (y >= 0) & (y < n_rows) & (x >= 0) & (x < n_columns)
    # What lies outside changes nothing: it is 0, and put where nothing is below 0.
    cell = torch.where(inside, (plane[owner] * n_rows + y) * n_columns + x, 0)
    flat = height.new_zeros(n_planes * n_rows * n_columns)
    return flat.scatter_reduce_(0, cell, height * inside, "amax").view(shape)

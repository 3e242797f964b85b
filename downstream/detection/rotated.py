"""Which of many found boxes say the same: overlap of turned rectangles, and the two kinds of NMS.

Offers `overlap_matrix`, `rotated_nms` and `circle_nms`. Rectangles are seen from above.

The area that two rectangles share is exact and needs no list of corners. In the frame of the second
rectangle, |x| <= X and |y| <= Y, the first is a polygon; at a given x it spans lower(x)..upper(x),
and of that ``clamp(upper) - clamp(lower)`` lies within the second, with clamp to -Y..Y. The shared
area is the integral of this over -X..X, hence the sum over the four edges, walked
counter-clockwise, of ``-(their extent in x within -X..X) * (mean of clamp(y) along it)``. The mean
of a clamped line is that of three pieces, each weighed by its part of the rise. Every term is
continuous, so boxes that coincide, touch or lie within each other are no special cases, and nothing
is off by more than rounding. All is float64, whatever comes in.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection import rotated_kernel

_COMPILED = not inspect.isfunction(rotated_kernel.stay)
"""Without numba the loops would take minutes where torch's form takes a second."""

_PAIRS_AT_ONCE = 1 << 19
"""Pairs that torch looks at together, so that memory stays within some hundred megabytes."""

Pairs = tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]
"""Rows and the rows beside them."""


def overlap_matrix(
    a: Float[Tensor, "boxes 5"], b: Float[Tensor, "others 5"]
) -> Float[Tensor, "boxes others"]:
    """Intersection over union of every rectangle of `a` with every one of `b`: 0 to 1.

    A rectangle without area overlaps nothing, itself included; nor do rectangles that only touch.

    Args:
        a: x, y, length, width, yaw: metres and radians; the length lies along the yaw.
        b: The same; on the same device.

    Returns:
        Of the type of `a`.

    Raises:
        UserError: Some number is not finite, or a length or width is negative.
    """
    first, second = _table(a), _table(b)
    out = first.new_zeros(len(a), len(b))
    if _COMPILED and out.is_cpu:
        rotated_kernel.overlaps(first.numpy(), second.numpy(), out.numpy())
    else:
        for rows, others in _candidates(first, second):
            out[rows, others] = _iou(first[rows], second[others])
    return out.to(a.dtype)


@torch.no_grad()
def rotated_nms(
    boxes: Float[Tensor, "boxes 5"], score: Float[Tensor, " boxes"], iou: float, most: int
) -> Int[Tensor, " kept"]:
    """Rows that stay, best first: a box goes if a better one that stays overlaps it by more.

    Of equal scores the first counts as the better one.

    Args:
        boxes: As `overlap_matrix` takes them.
        score: Of each.
        iou: What is tolerated.
        most: How many stay at most.

    Raises:
        UserError: Some number is not finite, or a length or width is negative.
    """
    order = _best_first(score)
    table = _table(boxes)[order]
    if _COMPILED and table.is_cpu:
        return order[torch.from_numpy(rotated_kernel.stay(table.numpy(), float(iou), int(most)))]
    found = []
    for rows, others in _candidates(table, table):
        over = _iou(table[rows], table[others]) > iou
        found.append((rows[over], others[over]))
    return order[_greedy(found, len(table), most).to(order.device)]


@torch.no_grad()
def circle_nms(
    centre: Float[Tensor, "boxes 2"], score: Float[Tensor, " boxes"], squared_m: float, most: int
) -> Int[Tensor, " kept"]:
    """Rows that stay, best first: a box goes if the centre of a better one that stays is near.

    Of equal scores the first counts as the better one.

    Args:
        centre: x and y, metres.
        score: Of each.
        squared_m: Square metres, held against the **squared** distance as mmdetection3d does
            (detection 2.3); exactly this far is near.
        most: How many stay at most.

    Raises:
        UserError: Some number is not finite.
    """
    order = _best_first(score)
    middle = _finite(centre)[order]
    near = (_squared(middle[rows], middle) <= squared_m for rows in _parts(middle, middle))
    found = _numbered(near)
    return order[_greedy(found, len(middle), most).to(order.device)]


def _finite(numbers: Tensor) -> Float[Tensor, "..."]:
    """The same in float64, detached."""
    wide = numbers.detach().double()
    bad = int((~torch.isfinite(wide)).sum())
    if bad:
        what = f"{bad} of {wide.numel()} coordinates, sizes, headings or scores are not finite."
        how = "Lower the recipe's learning rate, or train in precision 32-true."
        raise UserError("overlap of boxes", what, how)
    return wide


def _best_first(score: Float[Tensor, " boxes"]) -> Int[Tensor, " boxes"]:
    return torch.sort(_finite(score), descending=True, stable=True).indices


def _table(boxes: Float[Tensor, "boxes 5"]) -> Float[Tensor, "boxes 7"]:
    """x, y, half length, half width, cosine and sine of the yaw, half diagonal."""
    wide = _finite(boxes)
    half, yaw = wide[:, 2:4] / 2, wide[:, 4]
    if bool((half < 0).any()):
        raise UserError("overlap of boxes", "A length or width is negative.", "Sizes start at 0.")
    reach = torch.hypot(half[:, 0], half[:, 1])
    columns = (*wide[:, :2].T, *half.T, yaw.cos(), yaw.sin(), reach)
    return torch.stack(columns, dim=1)


def _parts(a: Tensor, b: Tensor) -> Iterator[slice]:
    """Ranges of rows of `a`, at least one, that make few enough pairs with `b`."""
    step = max(1, _PAIRS_AT_ONCE // max(len(b), 1))
    return (slice(begin, begin + step) for begin in range(0, max(len(a), 1), step))


def _squared(
    a: Float[Tensor, "boxes 2"], b: Float[Tensor, "others 2"]
) -> Float[Tensor, "boxes others"]:
    """Squared distances, without the loss of digits that a product of matrices would bring."""
    return (a[:, None] - b[None]).square().sum(2)


def _candidates(a: Float[Tensor, "boxes 7"], b: Float[Tensor, "others 7"]) -> Iterator[Pairs]:
    """Pairs whose circumscribed circles meet, part by part in rising order."""
    return _numbered(
        _squared(a[rows, :2], b[:, :2]) < (a[rows, 6, None] + b[:, 6]).square()
        for rows in _parts(a, b)
    )


def _numbered(parts: Iterable[Tensor]) -> Iterator[Pairs]:
    """Row and column of what is true, rows counted on from part to part."""
    begin = 0
    for near in parts:
        rows, others = near.nonzero(as_tuple=True)
        yield rows + begin, others
        begin += len(near)


def _iou(a: Float[Tensor, "pairs 7"], b: Float[Tensor, "pairs 7"]) -> Float[Tensor, " pairs"]:
    """Of each pair; the same steps as `rotated_kernel`."""
    shared = _shared(a, b)
    union = 4 * (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3]) - shared
    return torch.where(shared > 0, shared / union, 0.0).clamp(max=1.0)


def _shared(a: Float[Tensor, "pairs 7"], b: Float[Tensor, "pairs 7"]) -> Float[Tensor, " pairs"]:
    """Square metres that each pair shares."""
    dx, dy = (a[:, :2] - b[:, :2]).unbind(1)
    right, top, cosine, sine = b[:, 2:6].unbind(1)
    x, y = dx * cosine + dy * sine, dy * cosine - dx * sine
    turned = a[:, 4] * cosine + a[:, 5] * sine, a[:, 5] * cosine - a[:, 4] * sine
    along = [a[:, 2] * part for part in turned]
    across = [-a[:, 3] * turned[1], a[:, 3] * turned[0]]
    forward, left = (a.new_tensor(signs)[:, None] for signs in ((1, 1, -1, -1), (-1, 1, 1, -1)))
    corner_x = x + forward * along[0] + left * across[0]
    corner_y = y + forward * along[1] + left * across[1]
    pieces = _below(corner_x, corner_y, corner_x.roll(-1, 0), corner_y.roll(-1, 0), right, top)
    return -pieces.sum(0).clamp(max=0.0)


def _below(
    x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, right: Tensor, top: Tensor
) -> Float[Tensor, "edges pairs"]:
    """The integral of clamp(y) along each edge, over its x within -right..right."""
    begin, end = x0.clamp(-right, right), x1.clamp(-right, right)
    slope = torch.where(begin != end, (y1 - y0) / (x1 - x0), 0.0)
    low, high = y0 + slope * (begin - x0), y0 + slope * (end - x0)
    inner0, inner1 = low.clamp(-top, top), high.clamp(-top, top)
    rise = high - low
    above = torch.maximum(high, top) - torch.maximum(low, top)
    under = torch.minimum(high, -top) - torch.minimum(low, -top)
    mean = ((inner1 - inner0) * (inner0 + inner1) / 2 + top * (above - under)) / rise
    return (end - begin) * torch.where(rise != 0, mean, inner0)


def _greedy(found: Iterable[Pairs], n_boxes: int, most: int) -> Int[Tensor, " kept"]:
    """Rows that stay, by pairs of which only one may; rows come best first, and rise."""
    pairs = [torch.stack(pair)[:, pair[0] < pair[1]].cpu() for pair in found]
    rows, others = torch.cat(pairs, 1).numpy()
    starts = np.searchsorted(rows, np.arange(n_boxes + 1))
    gone = np.zeros(n_boxes, dtype=bool)
    kept: list[int] = []
    for best in range(n_boxes):
        if len(kept) == most:
            break
        if not gone[best]:
            kept.append(best)
            gone[others[starts[best] : starts[best + 1]]] = True
    return torch.tensor(kept, dtype=torch.int64)

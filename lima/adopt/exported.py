"""Our tensors -> another code base's: the way back of `lima_bench.lima.adopt.adopt`.

Offers `exported`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lima_bench.lima.adopt.fit import their_name
from lima_bench.lima.adopt.kernels import KernelOrder
from lima_bench.lima.adopt.layouts import Layout


def exported(
    state: Mapping[str, Tensor], layout: Layout, backbone: str, order: KernelOrder
) -> dict[str, Tensor]:
    """Every tensor of a network under the name and in the order in which `layout` keeps it.

    Args:
        state: Of one of our backbones, without anything before its names.
        layout: Whose names.
        backbone: Which network it is, one of `layout.networks`.
        order: How kernels are kept, one of `layout.orders`.

    Returns:
        Theirs to values, as many as there were; adopting them gives `state` back bit for bit.
    """
    n_stages = layout.networks[backbone].n_stages
    found = {
        their_name(name, tensor.ndim, layout, order, n_stages): (
            order.theirs(tensor) if tensor.ndim > 1 else tensor
        )
        for name, tensor in state.items()
    }
    assert len(found) == len(state), "two tensors share a name"
    return found

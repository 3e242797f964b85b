"""Published tensors into our networks: same names, same shapes, or a message that names the tensor.

Offers `fill`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lima_bench.common.errors import UserError


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put `tensors` into `network` (which may lie on the meta device), as float32.

    Raises:
        UserError: A tensor is missing, unknown or of another shape; names it.
    """
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        problem = _problem(wanted.get(name), tensors.get(name))
        if problem:
            raise UserError(f"{path}: {name}", problem, "These are the weights of another network.")
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, assign=True
    )


def _problem(wanted: Tensor | None, found: Tensor | None) -> str:
    if wanted is None:
        return "The network has no tensor of this name."
    if found is None:
        return "This tensor is missing."
    if wanted.shape != found.shape:
        return f"Shape {tuple(found.shape)}, expected {tuple(wanted.shape)}."
    return ""

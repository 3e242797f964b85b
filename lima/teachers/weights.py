"""Published tensors into our networks: same names, same shapes, or a message that names the tensor.

Offers `chosen` (which of a file's tensors are the network's) and `fill`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.teachers.catalogue import TeacherCard


def chosen(card: TeacherCard, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the file that belong to the network of `card`, under its names.

    Weights of one's own may come without the published file's prefix: then all of them count.
    """
    own = {
        name.removeprefix(card.prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(card.prefix)
    }
    return {
        card.inside + name: tensor
        for name, tensor in (own or tensors).items()
        if not name.startswith(card.dropped)
    }


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

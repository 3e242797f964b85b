"""Weight files into tensors, without ever running what a file holds.

Offers `read_tensors` and `fill`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lima_bench.common.errors import UserError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names to tensors of a ``.safetensors`` file, or of a torch file that holds only tensors.

    Raises:
        UserError: The file is damaged, or wants to run code.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            path, "This file cannot be read as plain tensors.", "Get it again from its authors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(
            path,
            "This file holds something else than names and tensors.",
            "Get the backbone-only file that its authors publish.",
        )
    return state


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

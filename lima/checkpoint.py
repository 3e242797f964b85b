"""Weights on disk: the only code that reads or writes them, and it never unpickles code.

Offers `save_student`, `load_student`, `read_meta` (finished backbones, safetensors with JSON
metadata), `read_weights` (any published file), `save_state`, `load_state` (an interrupted run) and
`weights_digest`.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.common.hashing import canonical_json

FORMAT = 1
"""Number of the checkpoint's format; raise it when the layout changes."""

_KEY = "lima_bench"
_SHOWN = 5
_KERNEL_AXES = 3
"""Of a sparse convolution's weights: kernel, inputs, outputs."""


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of every tensor; their order is free."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1f".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def save_student(path: Path, student: nn.Module, meta: Mapping[str, Any]) -> str:
    """Write a student's weights, whole or not at all.

    Args:
        path: The ``.safetensors`` file.
        student: Everything in its state dict is kept; heads must be gone.
        meta: JSON facts to keep beside: at least ``backbone``, the name of the network.

    Returns:
        The digest of the weights, which is also kept in the file.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    state = {
        name: t.detach().cpu().contiguous().clone() for name, t in student.state_dict().items()
    }
    digest = weights_digest(state)
    header = canonical_json({**meta, "format": FORMAT, "digest": digest})
    write_atomic(path, safetensors.torch.save(state, metadata={_KEY: header}))
    return digest


def read_meta(path: Path) -> dict[str, Any]:
    """The facts that `save_student` kept beside the weights; no tensor is read.

    Raises:
        UserError: The file is missing, is no checkpoint of ours, or was written by a newer version.
    """
    _must_exist(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_KEY)
    except safetensors.SafetensorError as error:
        raise UserError(
            path, f"This file is no whole safetensors file: {error}.", "Make or copy it again."
        ) from error
    if header is None:
        raise UserError(
            path,
            "These weights were not written by lima-bench.",
            "lima-bench adopt WEIGHTS --as NAME makes a row of an outside checkpoint.",
        )
    meta: dict[str, Any] = json.loads(header)
    if meta["format"] > FORMAT:
        raise UserError(
            path,
            f"The checkpoint has format {meta['format']}, this version reads up to {FORMAT}.",
            "Update lima-bench.",
        )
    return meta


def load_student(
    path: Path, student: nn.Module, backbone: str | None = None, *, widened: str = ""
) -> dict[str, Any]:
    """Fill `student` with the weights in `path`: every tensor, or none.

    Args:
        path: What `save_student` wrote.
        student: Changed in place.
        backbone: The network that `student` is; compared with the file's.
        widened: Name of a layer, such as ``conv_input``, whose convolution may have more inputs
            than the file's. The further ones come last and start at 0, so that the network says
            what it was taught to, whatever they are fed (detection 5.2).

    Returns:
        The facts kept beside the weights.

    Raises:
        UserError: Another backbone, missing or surplus tensors, other shapes, damaged weights.
    """
    meta = read_meta(path)
    if backbone is not None and meta.get("backbone") != backbone:
        raise UserError(
            path,
            f"The checkpoint holds a {meta.get('backbone')}, but a {backbone} is to be filled.",
            "Name the same student in the suite's row, or pretrain this one.",
        )
    state = safetensors.torch.load_file(path)
    if weights_digest(state) != meta["digest"]:
        raise UserError(
            path, "The weights are not those that were written.", "Delete the file and run again."
        )
    wanted = student.state_dict()
    for name in state.keys() & wanted.keys():
        if widened in name.split(".") and state[name].ndim == wanted[name].ndim == _KERNEL_AXES:
            state[name] = _with_more_inputs(state[name], wanted[name])
    _must_fit(path, state, wanted)
    student.load_state_dict(state)
    return meta


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file: safetensors, or a pickle that holds nothing but tensors.

    Raises:
        UserError: The file is missing, damaged, or a pickle that wants to run code.
    """
    _must_exist(path)
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise UserError(path, f"This is no whole safetensors file: {error}.", "") from error
    return _only_tensors(path, _load(path))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write what an interrupted run needs: tensors, numbers, texts, and containers of these.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomic(path, buffer.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, on the CPU.

    Raises:
        UserError: The file is damaged or wants to run code.
    """
    state: dict[str, Any] = _load(path)
    return state


def _with_more_inputs(weights: Tensor, wanted: Tensor) -> Tensor:
    """`weights` with inputs of weight 0 at the end, as many as `wanted` has more."""
    missing = wanted.shape[-2] - weights.shape[-2]
    if missing <= 0:
        return weights
    shape = (*weights.shape[:-2], missing, weights.shape[-1])
    return torch.cat((weights, weights.new_zeros(shape)), dim=-2)


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            path, "There is no such file.", "Run the job that makes it, or copy it here."
        )


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            path,
            "This file is damaged, or holds more than tensors and would have to run code.",
            "Delete an interrupted run's state and start again; convert weights to safetensors.",
        ) from error


def _only_tensors(path: Path, loaded: Any) -> dict[str, Tensor]:
    """Unwrap the usual ``state_dict`` / ``model`` shell around the tensors."""
    for shell in ("state_dict", "model", "teacher"):
        if isinstance(loaded, dict) and isinstance(loaded.get(shell), dict):
            loaded = loaded[shell]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(
            path, "There is no table of tensors in this file.", "Export the network's state dict."
        )
    return loaded


def _must_fit(path: Path, ours: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse the first few tensors that differ in name or shape, with both shapes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()}
    targets = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    wrong = [
        f"{name}: {shapes.get(name, 'absent')} in the file, {targets.get(name, 'absent')} wanted"
        for name in [*targets, *(name for name in shapes if name not in targets)]
        if shapes.get(name) != targets.get(name)
    ]
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(
            path,
            f"{len(wrong)} tensors do not fit: " + "; ".join(wrong[:_SHOWN]) + more + ".",
            "Use the student settings that the checkpoint was made with, or pretrain again.",
        )

"""Checkpoints between our VoxelNet and detectors of mmdetection3d, in both directions.

Offers `to_mmdet3d`, `from_mmdet3d` and `KERNELS`. Names and orders of kernels are those of
`lima_bench.lima.adopt` (detection 5.3), so that ``lima-bench adopt`` reads the same files.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from torch import Tensor

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.lima.adopt import kernels, naming
from lima_bench.lima.adopt.adopt import Adopted, adopt, converted, write_adopted
from lima_bench.lima.adopt.exported import exported
from lima_bench.lima.adopt.layouts import LAYOUTS, Layout, voxelnet
from lima_bench.lima.adopt.release import open_release
from lima_bench.lima.checkpoint import read_meta, read_weights, save_state

PREFIX = "pts_middle_encoder."
"""Of the sparse encoder in every detector of mmdetection3d that takes points alone."""

KERNELS = {"mmcv": kernels.SPCONV1_ZYX, "spconv": kernels.SPCONV_ZYX}
"""``mmcv``: ``[kz, ky, kx, in, out]``, which mmdetection3d reads whether it runs on mmcv's own
sparse convolution or on spconv 2.x: without a version it takes files to be of this order, and turns
kernels where spconv is installed. ``spconv``: ``[out, kz, ky, kx, in]`` and the version that says
so, as a detector trained on spconv 2.x is saved; it is lost where tensors are copied by hand."""

_SPCONV_VERSION = 2
_OURS = "backbone."
_THEIRS = {
    "voxelnet": LAYOUTS["mmdet3d-voxelnet"],
    "voxelnet_residual": LAYOUTS["mmdet3d-voxelnet-residual"],
}

PLUGIN = Layout(
    "mmdet3d-lima-bench",
    "our VoxelNet in a detector of mmdetection3d",
    naming.same,
    (kernels.OURS,),
    {name: voxelnet(name) for name in _THEIRS},
)
"""How `LimaVoxelNet` is kept in a detector's checkpoint."""


def to_mmdet3d(source: Path, target: Path, order: str = "mmcv") -> dict[str, Tensor]:
    """Write one of our checkpoints for mmdetection3d's own SparseEncoder.

    The file has the encoder's tensors alone: ``load_from`` takes it, the rest begins at random.

    Args:
        source: A VoxelNet, plain or residual, with any number of input channels.
        target: The ``.pth`` file.
        order: How kernels are kept; see `KERNELS`.

    Returns:
        What was written.

    Raises:
        UserError: It is no checkpoint of ours, or of another network; there is no such order; or it
            cannot be written.
    """
    if order not in KERNELS:
        raise unknown_name("--kernels", "order of kernels", order, KERNELS)
    name = read_meta(source).get("backbone")
    if name not in _THEIRS:
        what = f"The checkpoint holds a {name}; mmdetection3d's SparseEncoder is a VoxelNet."
        raise UserError(source, what, f"Give one of: {', '.join(_THEIRS)}.")
    state = {n.removeprefix(_OURS): t for n, t in read_weights(source).items()}
    theirs = exported(state, _THEIRS[name], name, KERNELS[order])
    kept = OrderedDict((f"{PREFIX}{n}", t) for n, t in theirs.items())
    if order == "spconv":
        _say_the_version(kept)
    save_state(target, {"meta": {"backbone": name}, "state_dict": kept})
    return dict(kept)


def from_mmdet3d(source: Path, target: Path) -> Adopted:
    """Write the encoder of a detector of mmdetection3d as one of our checkpoints.

    Args:
        source: A checkpoint with SparseEncoder or with our `LimaVoxelNet`.
        target: The ``.safetensors`` file.

    Returns:
        What was found, and what of the file was left out.

    Raises:
        UserError: The file is damaged, wants to run code, or holds no such encoder.
    """
    found = _of_plugin(source) or adopt(source)
    if found.backbone not in _THEIRS:
        what = f"This file holds a {found.backbone} of layout {found.layout}, no VoxelNet."
        raise UserError(source, what, "lima-bench adopt FILE --as NAME makes a row of it.")
    facts: dict[str, Any] = {"file": source.name, "sha256": found.sha256}
    write_adopted(found, target, {"layout": found.layout, "source": facts})
    return found


def _of_plugin(path: Path) -> Adopted | None:
    """The network, where the file has it under our own names and in our own order."""
    release = open_release(path)
    stem = PLUGIN.networks["voxelnet"].stem[0]
    for root in release.roots(stem):
        if root.endswith(f"{PREFIX}{_OURS}") and release.tensors[f"{root}{stem}"].ndim == 3:
            return converted(release, PLUGIN, root)
    return None


def _say_the_version(state: OrderedDict[str, Tensor]) -> None:
    """Leave word of the order of kernels where torch's own state dicts have their versions."""
    layers = {name.rpartition(".")[0] for name, tensor in state.items() if tensor.ndim > 1}
    versions = OrderedDict((layer, {"version": _SPCONV_VERSION}) for layer in sorted(layers))
    state._metadata = versions  # type: ignore[attr-defined]

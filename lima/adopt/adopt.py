"""File -> our tensors: the one way in for weights that other code bases wrote.

Offers `adopt`, its result `Adopted`, and `write_adopted`. A layout is told by the names and shapes
of tensors, never by the name of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import file_digest
from lima_bench.lima.adopt.fit import COUNTER, Fit, best_fit
from lima_bench.lima.adopt.layouts import LAYOUTS, OURS, Layout
from lima_bench.lima.adopt.recognise import recognise
from lima_bench.lima.adopt.release import Release, open_release
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import load_student, read_meta, save_student, weights_digest
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.student import Student

_SHOWN = 8
_PREFIX = "backbone."

_ELSEWHERE = {
    "model_images": "image network",
    "backbone_2d": "2D network",
    "head_2d": "2D network",
    "head_3d": "head of pretraining; every task brings its own",
    "decode_head": "classes of another task; every task brings its own",
    "dense_head": "head of a detector; every task brings its own",
    "pts_bbox_head": "head of a detector; every task brings its own",
    "roi_head": "head of a detector; every task brings its own",
    "optimizer": "state of the optimiser",
    "optimizer_states": "state of the optimiser",
}


@dataclass(frozen=True)
class Adopted:
    """An outside network in our terms.

    Attributes:
        layout: Name of the layout.
        backbone: The network's id.
        in_channels: Of its stem.
        state: Our name to weights, of a `Student`.
        used: Our name to the name in the file.
        skipped: Name in the file to the reason why it was left out.
        absent: Our tensors that the file lacks and that do no harm, at their first values.
        digest: Of `state`.
        sha256: Of the file.
        student: Settings that came with it: only with our own files.
        cartesian: What the file's own settings say of the voxels; None if nothing.
    """

    layout: str
    backbone: str
    in_channels: int
    state: Mapping[str, Tensor]
    used: Mapping[str, str]
    skipped: Mapping[str, str]
    absent: tuple[str, ...]
    digest: str
    sha256: str
    student: Mapping[str, Any] | None = None
    cartesian: bool | None = None


def adopt(path: Path, layout: str = "auto") -> Adopted:
    """Read a checkpoint of any known layout.

    Args:
        path: The file.
        layout: A name of `LAYOUTS`, `OURS`, or ``auto``.

    Raises:
        UserError: It is missing, damaged, wants to run code, has no known layout, or is another
            network than those that are built here; says what differs.
    """
    if layout == OURS or (layout == "auto" and _is_ours(path)):
        return _own(path)
    release = open_release(path)
    return converted(release, *recognise(release, layout))


def converted(release: Release, layout: Layout, root: str) -> Adopted:
    """Every tensor of the trunk in our order, or an error that lists what does not fit.

    Args:
        release: The file.
        layout: How its network is kept.
        root: What stands before the network's names.

    Raises:
        UserError: Missing or surplus layers, other shapes, values that are no numbers.
    """
    tensors = release.under(root)
    _refuse_others(release, layout, tensors)
    heads = tuple(layout.heads)
    fit = best_fit({n: t for n, t in tensors.items() if not n.startswith(heads)}, layout)
    if fit.problems:
        raise _misfit(release, layout, fit)
    state = {
        f"{_PREFIX}{name}": _ours(name, tensors[theirs], fit) for name, theirs in fit.names.items()
    }
    state |= {f"{_PREFIX}{name}": torch.tensor(0) for name in fit.absent}
    _must_be_finite(release, fit, state)
    used = {f"{_PREFIX}{name}": f"{root}{theirs}" for name, theirs in fit.names.items()}
    cylindrical = release.config.get("cylindrical_coordinates")
    return Adopted(
        layout=layout.name,
        backbone=fit.backbone,
        in_channels=fit.in_channels,
        state=state,
        used=used,
        skipped=dict(_skipped(release, layout, root, set(used.values()))),
        absent=tuple(f"{_PREFIX}{name}" for name in fit.absent),
        digest=weights_digest(state),
        sha256=release.sha256,
        cartesian=None if cylindrical is None else not cylindrical,
    )


def write_adopted(adopted: Adopted, path: Path, meta: Mapping[str, Any]) -> str:
    """Write the weights as a checkpoint of ours, whole or not at all; returns their digest.

    Args:
        adopted: What to write.
        path: The ``.safetensors`` file.
        meta: Facts to keep beside the weights.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    student = _empty_student(adopted.backbone, adopted.in_channels)
    student.load_state_dict(dict(adopted.state))
    return save_student(path, student, {**meta, "backbone": adopted.backbone})


def _is_ours(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return "lima_bench" in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return False


def _own(path: Path) -> Adopted:
    """One of our own checkpoints, which brings the settings of its student."""
    meta = read_meta(path)
    if "student" not in meta:
        what = "This checkpoint does not say how its student is fed."
        raise UserError(path, what, "Adopt the checkpoint.safetensors that a pretraining left.")
    settings = StudentSettings.model_validate(meta["student"])
    student = _empty_student(settings.backbone, len(settings.inputs.channels))
    load_student(path, student, settings.backbone)
    state = student.state_dict()
    return Adopted(
        layout=OURS,
        backbone=settings.backbone,
        in_channels=len(settings.inputs.channels),
        state=state,
        used={name: name for name in state},
        skipped={},
        absent=(),
        digest=weights_digest(state),
        sha256=file_digest(path),
        student=settings.model_dump(mode="json"),
    )


def _empty_student(backbone: str, in_channels: int) -> Student:
    return Student(build_backbone(backbone, in_channels, bn_momentum=0.1))


def _ours(name: str, tensor: Tensor, fit: Fit) -> Tensor:
    if name.endswith(COUNTER):
        return tensor.long()
    if tensor.ndim > 1:
        tensor = fit.order.ours(tensor)
    return tensor.float().contiguous()


def _refuse_others(release: Release, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
    for start, what in layout.refused.items():
        if any(name.startswith(start) for name in tensors):
            how = f"These networks are built: {', '.join(layout.networks)}."
            raise UserError(release.path, what, how)


def _must_be_finite(release: Release, fit: Fit, state: Mapping[str, Tensor]) -> None:
    broken = [
        fit.names[name.removeprefix(_PREFIX)]
        for name, tensor in state.items()
        if tensor.is_floating_point() and not torch.isfinite(tensor).all()
    ]
    if broken:
        what = f"{len(broken)} tensors hold values that are no numbers: {_list(broken)}."
        raise UserError(release.path, what, "This training diverged; take an earlier checkpoint.")


def _misfit(release: Release, layout: Layout, fit: Fit) -> UserError:
    what = (
        f"In the layout {layout.name} this is no network that is built here. The nearest is "
        f"{fit.backbone}, from which {len(fit.problems)} tensors differ: "
        f"{_list(fit.problems, '; ')}."
    )
    how = f"Built: {', '.join(layout.networks)}. Another layout: --layout {'|'.join(LAYOUTS)}."
    return UserError(release.path, what, how)


def _list(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more


def _skipped(
    release: Release, layout: Layout, root: str, used: set[str]
) -> Iterator[tuple[str, str]]:
    inside = {**{f"{word}.": reason for word, reason in _ELSEWHERE.items()}, **layout.heads}
    for name in release.tensors:
        if name in used:
            continue
        if name.startswith(root):
            own = name.removeprefix(root)
            reasons = (reason for start, reason in inside.items() if own.startswith(start))
        else:
            reasons = (_ELSEWHERE[word] for word in name.split(".") if word in _ELSEWHERE)
        yield name, next(reasons, "no part of the network")

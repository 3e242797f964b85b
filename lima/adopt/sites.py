"""Where a tensor of our MinkUNet stands, said without any code base's names.

Offers `Site` and `site_of`. Layouts of other code bases turn a site into their own name
(`lima_bench.lima.adopt.naming`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Part = Literal["stem", "down", "encoder", "up", "decoder"]
Role = Literal["conv", "norm"]


@dataclass(frozen=True)
class Site:
    """A convolution or a normalisation.

    Attributes:
        part: ``down`` and ``up`` change the resolution, ``encoder`` and ``decoder`` are blocks.
        stage: Which of the part's stages, from 0 in the order of computation.
        block: Which residual block of the stage.
        number: Which layer of the block's main path, from 1; 0 on the shortcut and outside blocks.
        role: Convolution or normalisation.
        leaf: The tensor's own name: ``weight``, ``bias``, ``running_mean``, ...
    """

    part: Part
    stage: int
    block: int
    number: int
    role: Role
    leaf: str


_LAYERS: dict[str, tuple[int, Role]] = {
    "first.convolution": (1, "conv"),
    "first.norm": (1, "norm"),
    "second": (2, "conv"),
    "norm": (2, "norm"),
    "narrow.linear": (1, "conv"),
    "narrow.norm": (1, "norm"),
    "middle.convolution": (2, "conv"),
    "middle.norm": (2, "norm"),
    "widen.linear": (3, "conv"),
    "widen.norm": (3, "norm"),
    "shortcut.linear": (0, "conv"),
    "shortcut.norm": (0, "norm"),
}
"""Layers of the residual blocks in `lima_bench.lima.backbones.minkunet`."""

_UNIT = re.compile(r"(stem|down|up)\.(\d+)\.(convolution|norm)\.(\w+)")
_BLOCK = re.compile(r"(encoder|decoder)\.(\d+)\.(\d+)\.([a-z.]+)\.(\w+)")


def site_of(name: str) -> Site:
    """The site of a tensor of our MinkUNet.

    Args:
        name: Its name in the network's state dict.

    Raises:
        ValueError: Our network has no such tensor.
    """
    if found := _UNIT.fullmatch(name):
        part, stage, layer, leaf = found.groups()
        role: Role = "conv" if layer == "convolution" else "norm"
        return Site(part, int(stage), 0, 0, role, leaf)  # type: ignore[arg-type]
    found = _BLOCK.fullmatch(name)
    if found is None or found[4] not in _LAYERS:
        raise ValueError(f"not a tensor of MinkUNet: {name}")
    number, role = _LAYERS[found[4]]
    return Site(found[1], int(found[2]), int(found[3]), number, role, found[5])  # type: ignore[arg-type]

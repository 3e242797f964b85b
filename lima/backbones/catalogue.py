"""The student networks there are, without their code: what `lima-bench list backbones` shows.

Offers `BackboneCard`, `BACKBONES` and `build_backbone`. Light: no torch until a network is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lima_bench.common.registry import Registry
from lima_bench.lima.backbones.sparse.window import Window

if TYPE_CHECKING:
    from lima_bench.lima.backbones.backbone import Backbone


@dataclass(frozen=True)
class BackboneCard:
    """What is known of a network before its code is loaded.

    Attributes:
        name: The backbone id.
        title: As the papers print it.
        builder: ``"module:function"`` of ``(in_channels, bn_momentum) -> Backbone``.
        width: Channels of its output.
        n_levels: Resolutions that it works at: for so many the loader builds kernel maps.
        note: What sets it apart.
        windows: Of the convolutions that lead from one resolution to the next, where they are not
            halvings; such a network needs a grid with bounds.
    """

    name: str
    title: str
    builder: str
    width: int
    n_levels: int
    note: str = ""
    windows: tuple[Window, ...] = ()

    def load(self) -> Callable[[int, float], Backbone]:
        """The builder, imported now."""
        module, function = self.builder.split(":")
        found = getattr(importlib.import_module(module), function)
        return cast("Callable[[int, float], Backbone]", found)


_MINKUNET = "lima_bench.lima.backbones.minkunet"
_VOXELNET = "lima_bench.lima.backbones.voxelnet"
_VOXELNET_WINDOWS = (
    Window(),
    Window(),
    Window(padding=(1, 1, 0)),
    Window(kernel=(1, 1, 3), stride=(1, 1, 2), padding=(0, 0, 0)),
)
_TINY_WINDOWS = (
    Window(),
    Window(),
    Window(kernel=(1, 1, 3), stride=(1, 1, 2), padding=(0, 0, 0)),
    Window(kernel=(1, 1, 3), stride=(1, 1, 2), padding=(0, 0, 0)),
)
"""Heights as above, 40 to 1 and 41 to 2; the map keeps a quarter of the resolution.

The third looks up and down alone: with neighbours its outputs would be twice as many cells, for
the widest layers."""
BACKBONES: Registry[BackboneCard] = Registry("backbone")
for _card in (
    BackboneCard("minkunet34", "MinkUNet-34", f"{_MINKUNET}:minkunet34", 96, 5, "as in SuperFlow"),
    BackboneCard(
        "minkunet34_slidr", "MinkUNet-34", f"{_MINKUNET}:minkunet34_slidr", 96, 5, "as in SLidR"
    ),
    BackboneCard("minkunet18", "MinkUNet-18", f"{_MINKUNET}:minkunet18", 96, 5),
    BackboneCard("minkunet50", "MinkUNet-50", f"{_MINKUNET}:minkunet50", 384, 5),
    BackboneCard(
        "minkunet_tiny",
        "MinkUNet-tiny",
        f"{_MINKUNET}:minkunet_tiny",
        48,
        4,
        "for the built-in world",
    ),
    BackboneCard(
        "voxelnet",
        "VoxelNet",
        f"{_VOXELNET}:voxelnet",
        128,
        5,
        "a detector's encoder, plain; points read its bird's-eye map",
        _VOXELNET_WINDOWS,
    ),
    BackboneCard(
        "voxelnet_residual",
        "VoxelNet (residual)",
        f"{_VOXELNET}:voxelnet_residual",
        128,
        5,
        "as stock nuScenes detectors have it; plain weights do not fit it",
        _VOXELNET_WINDOWS,
    ),
    BackboneCard(
        "voxelnet_tiny",
        "VoxelNet-tiny",
        f"{_VOXELNET}:voxelnet_tiny",
        64,
        5,
        "for the built-in world; cells of its map are four voxels wide",
        _TINY_WINDOWS,
    ),
):
    BACKBONES.add(_card.name, _card)


def build_backbone(name: str, in_channels: int, *, bn_momentum: float) -> Backbone:
    """A freshly initialised network.

    Args:
        name: A backbone id.
        in_channels: Input features per voxel.
        bn_momentum: Of its BatchNorm layers, as far as the network lets the recipe set it.

    Raises:
        UserError: No backbone has this name.
    """
    return BACKBONES.get(name).load()(in_channels, bn_momentum)

"""How other code bases name the layers of the same MinkUNet.

Offers `Naming` and the functions that are one. Read in public code, nothing of which is here:
valeoai/SLidR ``model/res16unet.py`` (and its followers), Xiangxu-0103/SuperFlow
``superflow/models/backbones/minkunet.py`` (LiMoE imports the same module), open-mmlab/mmdetection3d
``mmdet3d/models/backbones/minkunet_backbone.py`` with the blocks of its three back ends and
``mmdet3d/models/middle_encoders/sparse_encoder.py``, open-mmlab/OpenPCDet
``pcdet/models/backbones_3d/spconv_backbone.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps

from lima_bench.lima.adopt.sites import Site, site_of

Naming = Callable[[str, int], str]
"""Our name of a tensor and number of the encoder's stages to the name of the layer it is in."""


def same(name: str, n_stages: int) -> str:
    """As we do, where our network took its names from theirs (OpenPCDet's VoxelBackBone8x)."""
    del n_stages
    return name.rpartition(".")[0]


def mmdet3d_voxelnet(name: str, n_stages: int) -> str:
    """As mmdetection3d's SparseEncoder of ``conv_module``s (detection 5.3)."""
    return _STAGE.sub(r"encoder_layers.encoder_layer\1.", same(name, n_stages))


def mmdet3d_voxelnet_residual(name: str, n_stages: int) -> str:
    """As its SparseEncoder of ``basicblock``s: strided convolutions close a stage, not open it."""
    layer = same(name, n_stages)
    found = _STAGE.match(layer)
    if found is None:
        return layer
    stage, (block, _, rest) = int(found[1]), layer[found.end() :].partition(".")
    if stage == 1:
        return f"encoder_layers.encoder_layer1.{block}.{rest}"
    if block == "0":
        return f"encoder_layers.encoder_layer{stage - 1}.2.{rest}"
    return f"encoder_layers.encoder_layer{stage}.{int(block) - 1}.{rest}"


_STAGE = re.compile(r"^conv(\d)\.")
"""The beginning of a stage's layers in our VoxelNet."""


def _of_site(naming: Callable[[Site, int], str]) -> Naming:
    """A naming of sites as one of our names."""

    @wraps(naming)
    def named(name: str, n_stages: int) -> str:
        return naming(site_of(name), n_stages)

    return named


@_of_site
def slidr(site: Site, n_stages: int) -> str:
    """As Res16UNet: ``conv1p1s2``, ``bn1``, ``convtr4p16s2``, ``block5.0.conv1``.

    The network has one convolution in its stem.
    """
    lone = "conv" if site.role == "conv" else "bn"
    if site.part == "stem":
        return "conv0p1s1" if site.role == "conv" else "bn0"
    if site.part == "down":
        number = site.stage + 1
        return f"conv{number}p{2**site.stage}s2" if site.role == "conv" else f"bn{number}"
    if site.part == "up":
        number = n_stages + site.stage
        stride = 2 ** (n_stages - site.stage)
        return f"{lone}tr{number}" + (f"p{stride}s2" if site.role == "conv" else "")
    block = f"block{_block_number(site, n_stages)}.{site.block}"
    if site.number == 0:
        return f"{block}.downsample.{_place(site)}"
    return f"{block}.{site.role}{site.number}"


@_of_site
def superflow(site: Site, n_stages: int) -> str:
    """As SuperFlow's MinkUNet: ``conv0.1.conv``, ``conv5.norm``, ``block5.0.conv1``."""
    if site.part == "stem":
        return f"conv0.{site.stage}.{site.role}"
    if site.part in ("down", "up"):
        before = n_stages if site.part == "up" else 0
        return f"conv{before + site.stage + 1}.{site.role}"
    block = f"block{_block_number(site, n_stages)}.{site.block}"
    if site.number == 0:
        return f"{block}.downsample.{site.role}"
    return f"{block}.{site.role}{site.number}"


@_of_site
def mmdet3d_torchsparse(site: Site, n_stages: int) -> str:
    """As mmdetection3d with torchsparse: ``encoder.1.1.net.3``, ``decoder.0.1.0.downsample.0``."""
    del n_stages
    in_block = 3 * (site.number - 1) + _place(site)  # convolution, norm and ReLU take turns
    shortcut = f"downsample.{_place(site)}"
    return _mmdet3d(site, f"net.{_place(site)}", shortcut if not site.number else f"net.{in_block}")


@_of_site
def mmdet3d_minkowski(site: Site, n_stages: int) -> str:
    """As mmdetection3d with MinkowskiEngine: ``encoder.1.1.conv2``, ``….downsample.net.0``."""
    del n_stages
    shortcut = f"downsample.net.{_place(site)}"
    inside = f"{site.role}{site.number}" if site.number else shortcut
    return _mmdet3d(site, f"net.{_place(site)}", inside)


@_of_site
def mmdet3d_spconv(site: Site, n_stages: int) -> str:
    """As mmdetection3d with spconv: ``encoder.1.1.conv2``, ``encoder.1.1.bn2``."""
    del n_stages
    layer = "conv" if site.role == "conv" else "bn"
    inside = f"{layer}{site.number}" if site.number else f"downsample.{_place(site)}"
    return _mmdet3d(site, f"{_place(site)}", inside)


def _mmdet3d(site: Site, unit: str, inside: str) -> str:
    """The frame that its back ends share: what stands alone is `unit`, in blocks `inside`."""
    if site.part == "stem":
        return f"conv_input.{site.stage}.{unit}"
    if site.part in ("down", "up"):
        return f"{'encoder' if site.part == 'down' else 'decoder'}.{site.stage}.0.{unit}"
    if site.part == "encoder":
        return f"encoder.{site.stage}.{site.block + 1}.{inside}"
    return f"decoder.{site.stage}.1.{site.block}.{inside}"


def _block_number(site: Site, n_stages: int) -> int:
    """From 1 through the encoder and on through the decoder."""
    return site.stage + 1 + (n_stages if site.part == "decoder" else 0)


def _place(site: Site) -> int:
    """Convolution first, normalisation second."""
    return 0 if site.role == "conv" else 1

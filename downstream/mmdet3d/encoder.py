"""Our VoxelNet as a middle encoder of mmdetection3d: its voxels in, a bird's-eye map out.

Offers `LimaVoxelNet`, which `lima_bench.downstream.mmdet3d.plugin` registers. It needs no package
of OpenMMLab and no spconv: convolutions run on our engines, on a CPU as on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.packing import Packing
from lima_bench.lima.backbones.voxelnet import STEM, VoxelNet
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.voxels import Grid, Voxels

LAYERS = 2
"""Of the map of published detectors: a grid of 41 layers ends in two, one of 40 in one."""


class LimaVoxelNet(nn.Module):
    """A middle encoder with the contract of mmdetection3d's SparseEncoder.

    Its tensors are called as those of our checkpoints (``backbone.conv_input.0.weight``, ...).

    Args:
        in_channels: Features per voxel: 4 as pretrained, 5 with the time lag.
        sparse_shape: Cells along z, y and x, one spare layer on top included.
        residual: Whether it is the residual network of stock nuScenes detectors.
        checkpoint: One of our checkpoints of the same network; read by `init_weights`, that is when
            training begins. One of 4 channels fills a network of 5: the time lag begins at zero.
        init_cfg: mmengine's way to say the same: ``dict(type="Pretrained", checkpoint=...)``.

    Raises:
        UserError: The grid does not end in two layers, or `init_cfg` says something else.
    """

    def __init__(
        self,
        in_channels: int,
        sparse_shape: Sequence[int],
        *,
        residual: bool = False,
        checkpoint: str | None = None,
        init_cfg: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        depth, height, width = sparse_shape
        self.name = "voxelnet_residual" if residual else "voxelnet"
        self.in_channels, self.extent = in_channels, (width, height, depth)
        self.checkpoint = checkpoint or _named(init_cfg)
        backbone = build_backbone(self.name, in_channels, bn_momentum=0.01)
        assert isinstance(backbone, VoxelNet)
        self.backbone = backbone
        layers = backbone.map_extent(self.extent)[2]
        if layers != LAYERS:
            what = f"A grid of {depth} layers ends in {layers}: {layers * backbone.width} channels."
            how = "Published detectors take 256: 40 layers of points and a spare one, 41."
            raise UserError(f"pts_middle_encoder.sparse_shape = {list(sparse_shape)}", what, how)

    def init_weights(self) -> None:
        """Fill the network from its checkpoint, if it has one; mmengine calls this.

        Raises:
            UserError: The file is missing or damaged, or holds another network.
        """
        if self.checkpoint is not None:
            load_student(Path(self.checkpoint), self, self.name, widened=STEM)

    def forward(
        self,
        voxel_features: Float[Tensor, "voxels channels"],
        coors: Int[Tensor, "voxels 4"],
        batch_size: int | Tensor,
    ) -> Float[Tensor, "clouds 256 height width"]:
        """The map, at an eighth of the resolution; rows are y, columns x.

        Args:
            voxel_features: One row per voxel.
            coors: Cloud, z, y and x of each voxel; any order, none twice.
            batch_size: Number of clouds.

        Raises:
            UserError: A voxel lies outside the grid, or two rows are the same voxel.
        """
        n_clouds = int(batch_size)
        cells = coors[:, [0, 3, 2, 1]].long()
        keys = self._keys(cells, n_clouds)
        order = torch.argsort(keys)
        if (torch.diff(keys[order]) == 0).any():
            what = "Two rows are the same voxel."
            raise UserError("voxels of mmdetection3d", what, "Give each voxel once.")
        voxels = Voxels(
            coords=cells[order],
            features=voxel_features[order],
            inverse=keys.new_zeros(0),
            first=keys.new_zeros(0),
            xyz=voxel_features.new_zeros(0, 3),
            n_clouds=n_clouds,
            # The map depends on cells alone, not on where they lie.
            grid=Grid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), self.extent, keys.new_zeros(0)),
        )
        return self.backbone.bird_eye(voxels)

    def _keys(self, cells: Int[Tensor, "voxels 4"], n_clouds: int) -> Int[Tensor, " voxels"]:
        """One number per cell, in the order of (cloud, x, y, z)."""
        sides = cells.new_tensor([n_clouds, *self.extent])
        if ((cells < 0) | (cells >= sides)).any():
            what = f"Some voxels lie outside the grid of {self.extent} cells (x, y, z)."
            how = "sparse_shape must fit voxel_size and point_cloud_range of the voxel layer."
            raise UserError("pts_middle_encoder.sparse_shape", what, how)
        tops = (max(n_clouds - 1, 0), *(side - 1 for side in self.extent))
        return Packing.holding(tops).keys(cells)


def _named(init_cfg: dict[str, str] | None) -> str | None:
    if init_cfg is None:
        return None
    if init_cfg.get("type") != "Pretrained" or "checkpoint" not in init_cfg:
        how = 'Write dict(type="Pretrained", checkpoint=FILE), or checkpoint=FILE.'
        raise UserError("pts_middle_encoder.init_cfg", f"It cannot be {init_cfg}.", how)
    return init_cfg["checkpoint"]

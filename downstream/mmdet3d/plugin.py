"""What a configuration of mmdetection3d imports: registers our encoder and a repaired head.

``custom_imports = dict(imports=["lima_bench.downstream.mmdet3d.plugin"])``, as the configurations
beside it do. Offers `LimaCenterHead` and hands on `LimaVoxelNet`; nothing of ours imports it.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.common.optional import optional
from lima_bench.downstream.mmdet3d.encoder import LimaVoxelNet

__all__ = ["LimaCenterHead", "LimaVoxelNet"]


def _part(name: str) -> ModuleType:
    """A part of mmdetection3d.

    Raises:
        UserError: It is not installed, or its mmcv is the one without compiled operators.
    """
    optional("mmdet3d", extra="mmdet3d")
    try:
        return importlib.import_module(f"mmdet3d.{name}")
    except ModuleNotFoundError as error:
        if error.name != "mmcv._ext":
            raise
        what = "mmdetection3d needs mmcv's compiled operators; this is mmcv-lite."
        how = "pip uninstall mmcv-lite, then install mmcv 2.1 built for this torch."
        raise UserError(f"import mmdet3d.{name}", what, how) from error


_MODELS = _part("registry").MODELS
_HEADS = _part("models.dense_heads")

_MODELS.register_module(module=LimaVoxelNet)

# Where objects are pasted mmdetection3d 1.4.0 says np.long, which numpy lacks from 1.24 to 1.26
# (open-mmlab/mmdetection3d #2821).
if not hasattr(np, "long"):
    np.long = np.int_  # type: ignore[attr-defined]


@_MODELS.register_module()
class LimaCenterHead(_HEADS.CenterHead):  # type: ignore[misc]
    """CenterHead whose branches begin as its settings say.

    The stock head keeps its branches in a plain list of torch's, which mmengine's recursive
    `init_weights` passes over, so that ``init_bias`` of the heat maps has no effect (open since
    2022: open-mmlab/mmdetection3d #1554; detection 2.3). Here the heat maps get that bias and keep
    torch's first weights, and the other branches begin as He et al. propose: as in OpenPCDet and
    in `lima_bench.downstream.detection.centerpoint.head`.
    """

    def init_weights(self) -> None:
        """First values of every branch; mmengine calls this."""
        super().init_weights()
        for task in self.task_heads:
            for name in task.heads:
                branch = getattr(task, name)
                if name == "heatmap":
                    nn.init.constant_(branch[-1].bias, task.init_bias)
                else:
                    _as_he_proposes(branch)


def _as_he_proposes(branch: nn.Module) -> None:
    for layer in branch.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

"""A pretrained backbone under a fresh linear head: one score per voxel and class.

Offers `Segmenter` and `load_segmenter`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.seeds import derive_seed
from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import Voxels

HEAD_STD = 0.01
"""Standard deviation of the head's initial weights; its bias starts at 0."""

Backing = Literal["learns", "frozen", "drifts"]
"""The backbone is trained; frozen, BatchNorm and all; or frozen but for BatchNorm's statistics,
which then follow each batch, as in one family of published code."""


class Segmenter(nn.Module):
    """Backbone and head.

    Args:
        backbone: Gives features per voxel, or per cell of a map.
        n_classes: Evaluated classes; there is no score for "ignored".
        backing: What training does to the backbone.
    """

    def __init__(self, backbone: Backbone, n_classes: int, backing: Backing = "learns") -> None:
        super().__init__()
        self.backbone, self.backing = backbone, backing
        self.head = nn.Linear(backbone.width, n_classes)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)
        backbone.requires_grad_(backing == "learns")

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which a frozen backbone stays as in evaluation."""
        super().train(mode)
        if self.backing == "frozen":
            self.backbone.eval()
        return self

    def forward(self, voxels: Voxels) -> Float[Tensor, "cells classes"]:
        """Scores of every cell of the backbone's output."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.backing == "learns"):
            features = self.backbone(voxels)
        scores: Tensor = self.head(features)
        return scores


def load_segmenter(
    checkpoint: Path,
    student: StudentSettings,
    n_classes: int,
    *,
    bn_momentum: float,
    backing: Backing,
    seed: int,
) -> Segmenter:
    """The student in `checkpoint` under a head that depends on the seed alone.

    Raises:
        UserError: The checkpoint is missing, damaged or of another network.
    """
    channels = len(student.inputs.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "segmentation head"))
        backbone = build_backbone(student.backbone, channels, bn_momentum=bn_momentum)
        load_student(checkpoint, Student(backbone), student.backbone)
        torch.manual_seed(derive_seed(seed, "segmentation head"))
        return Segmenter(backbone, n_classes, backing)

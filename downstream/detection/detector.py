"""A whole detector: a pretrained VoxelNet, the 2D network and a head on top of it.

Offers `Detector` and `load_detector`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.downstream.detection.bev import BevNetwork
from lima_bench.downstream.detection.boxes import DetectionBatch, Detections
from lima_bench.downstream.detection.catalogue import card_of
from lima_bench.downstream.detection.head import Head, MapGrid, Maps
from lima_bench.downstream.detection.inputs import detector_student, n_inputs
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.voxelnet import VoxelNet
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.loss import Loss
from lima_bench.lima.recipes import StudentSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import Voxels


class Detector(nn.Module):
    """Learns from `DetectionBatch`es and finds boxes.

    Args:
        encoder: Gives a bird's-eye map.
        bev: The 2D network on it.
        head: Says where boxes are; a module.
    """

    head: Head

    def __init__(self, encoder: VoxelNet, bev: BevNetwork, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.bev = encoder, bev
        self.add_module("head", head)

    def forward(self, batch: DetectionBatch) -> Loss:
        """What is learnt from a batch."""
        return self.head.loss(self.maps(batch.voxels), batch.truth)

    def maps(self, voxels: Voxels) -> Maps:
        """What the head says of every cell."""
        bird_eye = self.encoder.bird_eye(voxels).contiguous(memory_format=torch.channels_last)
        return self.head(self.bev(bird_eye))

    @torch.no_grad()
    def found(self, voxels: Voxels) -> list[Detections]:
        """The boxes of every cloud, best first."""
        return self.head.decode(self.maps(voxels))


def load_detector(
    checkpoint: Path,
    student: StudentSettings,
    recipe: DetectRecipe,
    facts: DetectionFacts,
    *,
    seed: int,
) -> Detector:
    """The encoder in `checkpoint` under a 2D network and a head that depend on the seed alone.

    Inputs that pretraining did not have begin with weights of zero, so that the encoder's function
    is the pretrained one.

    Raises:
        UserError: The checkpoint is missing, damaged or of another network, or the network gives no
            bird's-eye map.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "detector"))
        encoder = build_backbone(
            student.backbone, n_inputs(student, recipe), bn_momentum=recipe.bn_momentum
        )
        if not isinstance(encoder, VoxelNet):
            raise UserError(
                f"student {student.backbone}",
                "It gives no bird's-eye map, which a detector needs.",
                "Name a VoxelNet: lima-bench list backbones",
            )
        load_student(checkpoint, Student(encoder), student.backbone, widened="conv_input")
        torch.manual_seed(derive_seed(seed, "detector"))
        grid, depth = _grid(encoder, student, recipe)
        bev = BevNetwork(encoder.width * depth, recipe.bev, recipe.bn_momentum)
        detector = Detector(encoder, bev, card_of(recipe).load()(bev.width, recipe, facts, grid))
    # Channels last: on a CPU dense convolutions of few channels take a quarter less time.
    return detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _grid(encoder: VoxelNet, student: StudentSettings, recipe: DetectRecipe) -> tuple[MapGrid, int]:
    """The place of the bird's-eye map, and its layers."""
    voxels = detector_student(student, recipe, training=False).voxels
    bounds, extent = voxels.bounds, voxels.extent
    assert bounds is not None and extent is not None  # without bounds, no VoxelNet
    width, height, depth = encoder.map_extent(extent)
    cell_m = (voxels.size[0] * (extent[0] // width), voxels.size[1] * (extent[1] // height))
    return MapGrid(bounds.lower[:2], cell_m, (height, width)), depth

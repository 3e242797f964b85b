"""What a detector's encoder is fed, seen from the student that was pretrained.

Offers `detector_student` (the grid) and `n_inputs` (the channels).
"""

from __future__ import annotations

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima.recipes import StudentSettings


def detector_student(
    student: StudentSettings, recipe: DetectRecipe, training: bool
) -> StudentSettings:
    """The student on the detector's grid: its limit of cells, its layers, nothing cut before.

    Limits of range and box are what pretraining looked at; here the grid alone decides.

    Args:
        student: What was pretrained.
        recipe: Says how many cells a frame may have, and how many layers lie above the grid.
        training: Whether the limit of training applies, or that of scoring.

    Raises:
        UserError: The student's grid has no bounds, so there is no map of it.
    """
    bounds = student.voxels.bounds
    if bounds is None:
        raise UserError(
            f"student {student.backbone}: voxels.bounds",
            "A detector needs a grid that begins and ends somewhere, and this one has no bounds.",
            "Choose the student voxelnet or voxelnet_residual.",
        )
    limits = {
        "max_cells": recipe.max_cells[0 if training else 1],
        "spare_layers": recipe.spare_layers,
    }
    voxels = student.voxels.model_copy(update={"bounds": bounds.model_copy(update=limits)})
    inputs = student.inputs.model_copy(update={"max_range_m": None, "box_m": None})
    return student.model_copy(update={"voxels": voxels, "inputs": inputs})


def n_inputs(student: StudentSettings, recipe: DetectRecipe) -> int:
    """Channels per voxel: the student's, and behind them the time lag if the recipe has it."""
    return len(student.inputs.channels) + int(recipe.time_lag)

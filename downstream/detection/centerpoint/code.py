"""How CenterPoint says a box at a cell of the map: box -> code -> box.

Offers `BRANCHES`, `weights_of`, `encode` and `decode`. A code is ten numbers, in the order of
`BRANCHES`: where in its cell the middle lies (x, y; cells), its height (metres), the logarithms of
length, width and height (metres), sine and cosine of the yaw, velocity (x, y; metres per second).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.centerpoint.settings import CenterPointSettings
from lima_bench.downstream.detection.head import MapGrid

BRANCHES = {"offset": 2, "height": 1, "size": 3, "rotation": 2, "velocity": 2}
"""Maps of a group beside its heat map, with their channels."""


def weights_of(settings: CenterPointSettings) -> tuple[float, ...]:
    """What an error in each number of a code weighs."""
    return tuple(
        settings.velocity_weight if name == settings.light else 1.0
        for name, channels in BRANCHES.items()
        for _ in range(channels)
    )


def encode(
    boxes: Float[Tensor, "objects 9"], offset: Float[Tensor, "objects 2"]
) -> Float[Tensor, "objects 10"]:
    """Codes of boxes, in float32; what is NaN of a velocity stays it.

    Args:
        boxes: `lima_bench.downstream.detection.boxes.COLUMNS`, sizes above 0.
        offset: From the corner of each one's cell to its middle, in cells.
    """
    boxes = boxes.float()
    yaw = boxes[:, 6:7]
    parts = (offset.float(), boxes[:, 2:3], boxes[:, 3:6].log(), yaw.sin(), yaw.cos(), boxes[:, 7:])
    return torch.cat(parts, 1)


def decode(
    code: Float[Tensor, "objects 10"],
    row: Int[Tensor, " objects"],
    column: Int[Tensor, " objects"],
    grid: MapGrid,
) -> Float[Tensor, "objects 9"]:
    """Boxes that the cells of a map say, in float32."""
    # In float32, a cell's number would take digits from the place inside it.
    code = code.double()
    x, y = (
        grid.lower[axis] + (cell + code[:, axis]) * grid.cell_m[axis]
        for axis, cell in enumerate((column, row))
    )
    yaw = torch.atan2(code[:, 6], code[:, 7])
    parts = (x[:, None], y[:, None], code[:, 2:3], code[:, 3:6].exp(), yaw[:, None], code[:, 8:])
    return torch.cat(parts, 1).float()

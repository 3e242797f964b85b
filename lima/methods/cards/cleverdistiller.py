"""CleverDistiller: settings and card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lima_bench.lima.methods.card import Count, MethodCard, Positive, Weight
from lima_bench.lima.methods.cards.distance import Distance
from lima_bench.lima.recipes import Settings


class CleverdistillerSettings(Settings):
    """CleverDistiller, rebuilt; see `lima_bench.lima.methods.cleverdistiller`.

    Its authors say: similarity of features, a projection head of three layers, occupancy as a
    second task. What follows from no readable source is marked "assumed".

    Attributes:
        distance: Of unit vectors; see `lima_bench.lima.losses`. Assumed: ScaLR's.
        head_layers: Linear layers of the projection head; 1 is ScaLR's head.
        head_width: Of its hidden layers; assumed. ``teacher``: as wide as the teacher.
        head_norm: Before each of its ReLUs; assumed.
        occupancy_weight: Of the second task; 0 leaves it out. Assumed.
        occupancy: Where is asked: on the ways of rays (``sight``, as ALSO does, CVPR 2023), or in
            the middles of voxels (``voxel``). Assumed.
        queries: Per scan; assumed.
        depth_m: ``sight``: so far behind a point space is taken to be full; ALSO's value.
        voxel_m: ``voxel``: edge of a voxel; assumed.
        radius_m: Points no farther than this from a query must tell its occupancy; ALSO's value.
        supports: At most so many points per query, drawn at random where there are more; ALSO's
            number, whose code leaves to its search which ones.
        latent: Width of the occupancy decoder; ALSO's value.
    """

    distance: Distance = "l2norm"
    head_layers: Annotated[int, Field(ge=1, le=4)] = 3
    head_width: Count | Literal["teacher"] = 1024
    head_norm: Literal["bn", "none"] = "bn"
    occupancy_weight: Weight = 1.0
    occupancy: Literal["sight", "voxel"] = "sight"
    queries: Count = 2048
    depth_m: Positive = 0.1
    voxel_m: Positive = 0.4
    radius_m: Positive = 1.0
    supports: Count = 32
    latent: Count = 128


CARD = MethodCard(
    name="cleverdistiller",
    title="CleverDistiller",
    venue="BMVC'25",
    implementation="lima_bench.lima.methods.cleverdistiller:Cleverdistiller",
    settings=CleverdistillerSettings,
    reconstruction=True,
    note="its fine-tuning protocol differs from LiMA's: published numbers share no column",
)

"""TriCC: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive, Share, Weight
from lima_bench.lima.recipes import Settings


class TriccSettings(Settings):
    """TriCC; see `lima_bench.lima.methods.tricc`.

    Values: the configuration shipped with its code, cycle_slidr_minkunet (methods-spatial 4).

    Attributes:
        width: Of the spaces in which features are compared.
        temperature: Of the contrast.
        cycle_temperature: Of every step of a cycle.
        walks: Voxels, and pairs, that are drawn per scan to walk a cycle; all if there are fewer.
        cycle_weight: Of the cycle of three scans.
        triple_weight: Of the cycle from a pixel.
        matched: Share of voxels, the best matched of the batch, that the next scan adds to.
        warmup: Share of the run over which what it adds grows from nothing to its full weight.
        momentum: Share of its old weights that the slow copy keeps at each step.
        head_bn_momentum: Of the BatchNorm in the 3D heads.
        renormalise_pool: Bring superpixel means back to unit length (SLidR does not).
        mask_empty: Leave superpixels without points out (SLidR does).
    """

    width: Count = 64
    temperature: Positive = 0.07
    cycle_temperature: Positive = 0.1
    walks: Count = 4096
    cycle_weight: Weight = 1.0
    triple_weight: Weight = 1.0
    matched: Share = 0.2
    warmup: Share = 0.1
    momentum: Share = 0.999
    head_bn_momentum: Fraction = 0.05
    renormalise_pool: bool = True
    mask_empty: bool = False


CARD = MethodCard(
    name="tricc",
    title="TriCC",
    venue="CVPR'23",
    implementation="lima_bench.lima.methods.tricc:Tricc",
    settings=TriccSettings,
    needs=("features", "superpixels"),
    frames=2,
    heads_2d="two linear",
    note=(
        "The authors' code has several variants and does not say which gave the paper's numbers: "
        "this is its shipped configuration, cycle_slidr_minkunet."
    ),
)

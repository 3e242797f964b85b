"""ST-SLidR: settings and card."""

from __future__ import annotations

from typing import Literal

from lima_bench.lima.methods.card import Count, MethodCard, Positive, Share
from lima_bench.lima.recipes import Settings


class StSlidrSettings(Settings):
    """ST-SLidR; see `lima_bench.lima.methods.st_slidr`.

    Values: the published run ``stslidr_classbalance_moco`` (methods-spatial 3).

    Attributes:
        width: Of the space in which points and pixels are compared.
        temperature: Of the contrast.
        tolerance: ``hard`` spares the most similar superpixels, ``soft`` weakens each by its
            similarity (the authors' ablation, without class balance).
        quantile: ``hard``: share of an anchor's candidates that is spared, itself among them.
        drop_mode: ``hard``: what becomes of the spared: ``zero_logit``, as published, leaves
            exp(0) = 1 in the denominator; ``remove`` takes them out.
        class_balance: ``hard``: let superpixels that many others resemble weigh less.
        vote_threshold: Cosine from which one superpixel counts as resembling another.
    """

    width: Count = 64
    temperature: Positive = 0.07
    tolerance: Literal["hard", "soft"] = "hard"
    quantile: Share = 0.01
    drop_mode: Literal["zero_logit", "remove"] = "zero_logit"
    class_balance: bool = True
    vote_threshold: Share = 0.5


CARD = MethodCard(
    name="st_slidr",
    title="ST-SLidR",
    venue="CVPR'23",
    implementation="lima_bench.lima.methods.st_slidr:StSlidr",
    settings=StSlidrSettings,
    needs=("features", "superpixels"),
    heads_2d="linear",
)

"""Mean intersection over union from one confusion matrix over a whole data set.

Offers `ConfusionMatrix`, `mean_iou` and `VARIANTS`. Pure NumPy. Authors' evaluations disagree about
a class that occurs neither in truth nor in prediction, and about the divisor; each one's rule has a
name here, that of the data set where it is a data set's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import unknown_name
from lima_bench.datasets.sample import IGNORE, Float64, Int64


@dataclass(frozen=True)
class Variant:
    """How one evaluation comes from the IoU of classes to a mean.

    Predictions of an ignored class are a miss in most evaluations and dropped in some; our networks
    have no such output, so this makes no difference here.

    Attributes:
        source: Where the rule was read.
        absent: IoU of a class that occurs nowhere; None leaves it out, NaN makes the mean NaN.
        more_classes: Classes beyond ours that count as 0 in the mean.
        without_perfect: Leave out every class whose IoU is 1.
    """

    source: str
    absent: float | None = None
    more_classes: int = 0
    without_perfect: bool = False

    @property
    def is_strict(self) -> bool:
        """Whether absent classes are left out and nothing else is done."""
        return self.absent is None and not self.more_classes and not self.without_perfect


_NUSCENES = Variant("nutonomy/nuscenes-devkit eval/lidarseg/utils.py")
_KITTI = Variant("PRBonn/semantic-kitti-api auxiliary/np_ioueval.py", absent=0.0)

VARIANTS: Mapping[str, Variant] = {
    "strict": Variant("the default here: absent classes are left out, and their number is told"),
    "nuscenes": _NUSCENES,
    "nuscenes_c": _NUSCENES,
    "semantickitti": _KITTI,
    "scribblekitti": _KITTI,  # ouenal/scribblekitti: the validation of SemanticKITTI
    "waymo": Variant(
        "waymo-research/waymo-open-dataset metrics/segmentation_metrics.cc", absent=1.0
    ),
    "semanticstf": Variant("xiaoaoran/SemanticSTF PointDR/core/callbacks.py", absent=1.0),
    "semanticstf_by_weather": Variant(
        "xiaoaoran/SemanticSTF evaluate_by_weather.py", without_perfect=True
    ),
    "rellis3d": Variant(
        "unmannedlab/RELLIS-3D utils/Evaluate_pt.ipynb: the void class counts as 0",
        absent=0.0,
        more_classes=1,
    ),
    "daps3d": Variant("subake/DAPS3D train/tasks/semantic/modules/ioueval.py", absent=0.0),
    "synth4d": Variant("saltoricristiano/gipso-sfouda utils/metrics.py", absent=np.nan),
    "slidr": Variant("valeoai/SLidR utils/metrics.py", absent=1.0),
    "mmdet3d": Variant("open-mmlab/mmdetection3d mmdet3d/evaluation/functional/seg_eval.py"),
}
"""Every rule by name; ``strict`` is the score of every table, the others stand beside it."""


class ConfusionMatrix:
    """Counts of (truth, prediction), added up batch by batch.

    Attributes:
        counts: (C, C) int64; rows are the truth.
    """

    def __init__(self, n_classes: int, counts: Int64 | None = None) -> None:
        self.n_classes = n_classes
        self.counts: Int64 = (
            np.zeros((n_classes, n_classes), np.int64) if counts is None else counts
        )

    def add(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> None:
        """Count points; those whose truth is ignored are left out.

        Args:
            truth: (N,) train ids, `IGNORE` where there is none.
            prediction: (N,) train ids.

        Raises:
            ValueError: An id is no class: such a count would land in another cell.
        """
        kept = truth != IGNORE
        true, said = truth[kept].astype(np.int64), prediction[kept].astype(np.int64)
        for ids in (true, said):
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.n_classes:
                raise ValueError(f"ids {ids.min()}..{ids.max()} for {self.n_classes} classes")
        cells = np.bincount(true * self.n_classes + said, minlength=self.n_classes**2)
        self.counts += cells.reshape(self.n_classes, self.n_classes)

    @property
    def n_points(self) -> int:
        """Points counted."""
        return int(self.counts.sum())

    def iou(self) -> Float64:
        """(C,) intersection over union; NaN where a class occurs in neither."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        return np.divide(hit, union, out=np.full(self.n_classes, np.nan), where=union > 0)

    def accuracy(self) -> float:
        """Share of points that are right; NaN without points."""
        return float(np.diag(self.counts).sum() / self.n_points) if self.n_points else np.nan

    def frequency_weighted_iou(self) -> float:
        """IoU weighted by how often a class is true; NaN without points."""
        if not self.n_points:
            return np.nan
        frequency = self.counts.sum(1) / self.n_points
        return float(np.nansum(np.where(frequency > 0, frequency * self.iou(), 0.0)))


def mean_iou(matrix: ConfusionMatrix, variant: str = "strict") -> float:
    """The mean over classes, by the rule of `variant`; NaN if no class counts.

    Raises:
        UserError: There is no such variant.
    """
    if variant not in VARIANTS:
        raise unknown_name("metric", "mIoU variant", variant, VARIANTS)
    return mean_of(matrix.iou(), VARIANTS[variant])


def mean_of(iou: Float64, variant: Variant) -> float:
    """The mean of the IoU (C,) of classes by the rule of `variant`; NaN marks an absent class."""
    if variant.absent is not None:
        counted = np.where(np.isnan(iou), variant.absent, iou)
    else:
        counted = iou[~np.isnan(iou)]
    if variant.without_perfect:
        counted = counted[counted != 1]
    n_classes = len(counted) + variant.more_classes
    return float(counted.sum() / n_classes) if len(counted) else np.nan

"""Mean intersection over union from one confusion matrix over a whole data set.

Offers `ConfusionMatrix` and `mean_iou`. Pure NumPy. Authors' evaluations disagree about a class
that occurs neither in truth nor in prediction; each one's rule has a name here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import unknown_name
from lima_bench.datasets.sample import IGNORE, Float64, Int64

ABSENT_COUNTS_AS: dict[str, float | None] = {
    "strict": None,
    "nuscenes": None,
    "semantickitti": 0.0,
    "waymo": 1.0,
    "slidr": 1.0,
}
"""IoU of an absent class by variant; None leaves it out of the mean.

nuScenes devkit ``eval/lidarseg/utils.py`` (nanmean); semantic-kitti-api ``np_ioueval.py``; Waymo
``segmentation_metrics.cc``; valeoai/SLidR ``utils/metrics.py``. In all of them a prediction of an
ignored class would be a miss; our networks have no such output.
"""


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
    if variant not in ABSENT_COUNTS_AS:
        raise unknown_name("metric", "mIoU variant", variant, ABSENT_COUNTS_AS)
    iou, absent = matrix.iou(), ABSENT_COUNTS_AS[variant]
    kept = iou[~np.isnan(iou)] if absent is None else np.nan_to_num(iou, nan=absent)
    return float(kept.mean()) if len(kept) else np.nan

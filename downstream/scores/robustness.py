"""How much a backbone suffers from corruptions: mean corruption error and mean resilience.  Pure.

Offers `Robustness`, `robustness`, `BASELINE` and `CLEAN_BASELINE`. With the mIoU of corruption i
at severity l, all in percent, and b the baseline's:

    CE_i = sum_l (100 - mIoU_il) / sum_l (100 - b_il)      mCE = mean_i CE_i
    RR_i = mean_l mIoU_il / mIoU_clean                     mRR = mean_i RR_i

(ldkong1205/Robo3D ``docs/GET_STARTED.md``). Sums over as many severities are means times a number
that cancels, so the mean over severities is all that a table needs. `clean` is the same network's
score on clean nuScenes after fine-tuning with all labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLEAN_BASELINE = 75.76
"""mIoU of the baseline on clean nuScenes."""

BASELINE: Mapping[str, float] = {
    "fog": 53.64,
    "wet_ground": 73.91,
    "snow": 40.35,
    "motion_blur": 73.39,
    "beam_missing": 68.54,
    "crosstalk": 26.58,
    "incomplete_echo": 63.83,
    "cross_sensor": 50.95,
}
"""mIoU of MinkUNet-18 (cr 1.0) on nuScenes-C, mean over three severities, as published there."""


@dataclass(frozen=True)
class Robustness:
    """Scores of one network on nuScenes-C, in percent.

    Attributes:
        corruption_error: CE by corruption; 100 is the baseline's, lower is better.
        resilience: RR by corruption; 100 loses nothing.
    """

    corruption_error: Mapping[str, float]
    resilience: Mapping[str, float]

    @property
    def mce(self) -> float:
        """Mean corruption error."""
        return sum(self.corruption_error.values()) / len(self.corruption_error)

    @property
    def mrr(self) -> float:
        """Mean resilience rate."""
        return sum(self.resilience.values()) / len(self.resilience)


def robustness(
    miou: Mapping[str, Mapping[str, float]],
    clean: float,
    baseline: Mapping[str, float] = BASELINE,
) -> Robustness:
    """Corruption errors and resilience rates.

    Args:
        miou: mIoU in percent by corruption and severity.
        clean: mIoU in percent on the clean set.
        baseline: Mean over severities, by corruption.

    Raises:
        ValueError: A corruption is missing or unknown, has no severity, severities differ between
            corruptions, or `clean` is not above 0. A mean over a part would be no mCE.
    """
    if set(miou) != set(baseline):
        raise ValueError(f"corruptions {sorted(miou)}, expected {sorted(baseline)}")
    severities = {frozenset(scores) for scores in miou.values()}
    if len(severities) != 1 or not next(iter(severities)):
        raise ValueError(f"severities differ or are missing: {[sorted(s) for s in severities]}")
    if not clean > 0:
        raise ValueError(f"a clean mIoU of {clean} leaves nothing to compare with")
    means = {name: sum(miou[name].values()) / len(miou[name]) for name in baseline}
    return Robustness(
        {name: 100 * (100 - means[name]) / (100 - baseline[name]) for name in baseline},
        {name: 100 * means[name] / clean for name in baseline},
    )

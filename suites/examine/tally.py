"""What the loaded frames of one split hold, counted frame by frame.

Offers `Tally`; `Tally.add` counts a sample, `Tally.judge` says what looks wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Float32, Sample
from lima_bench.suites.examine.findings import Findings

MOST_UNKNOWN = 0.01
"""Share of labelled points with raw ids that the card does not list, above which it is a fault."""

MOST_OUTSIDE = 0.001
"""Share of intensities outside the card's scale that passes for noise."""

LEAST_OF_SCALE = 0.02
"""Intensities that fill less of the card's scale than this are probably on another one."""

MOST_ZEROS = 0.001
MOST_DUPLICATES = 0.2
"""A real nuScenes scan has a tenth: spots of the car itself."""


@dataclass
class Tally:
    """Sums over the loaded frames of one split.

    Attributes:
        n_points: Of each frame.
        classes: Points by train id, `IGNORE` among them.
        n_labelled: Frames with labels.
        n_annotated: Points of those.
        unknown: Raw id that the card does not know to its points.
        n_strange: Points whose place or intensity is not a number.
        n_dropped: Rows of the files that the reader left out.
        n_zeros: Points at the sensor's very place.
        n_duplicates: Points that lie where an earlier one of the frame does.
        intensities: Of each frame minimum, mean and maximum.
        n_outside: Intensities outside the card's scale.
        reaches_m: Of each frame the largest distance.
        heights_m: Of each frame the 1st and 99th percentile of z.
        conditions: Frames by condition.
    """

    n_points: list[int] = field(default_factory=list)
    classes: Counter[int] = field(default_factory=Counter)
    n_labelled: int = 0
    n_annotated: int = 0
    unknown: Counter[int] = field(default_factory=Counter)
    n_strange: int = 0
    n_dropped: int = 0
    n_zeros: int = 0
    n_duplicates: int = 0
    intensities: list[tuple[float, float, float]] = field(default_factory=list)
    n_outside: int = 0
    reaches_m: list[float] = field(default_factory=list)
    heights_m: list[tuple[float, float]] = field(default_factory=list)
    conditions: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample, card: Card) -> None:
        """Count one frame."""
        whole = np.isfinite(sample.points).all(axis=1) & np.isfinite(sample.intensity)
        self.n_points.append(len(whole))
        self.n_strange += int((~whole).sum())
        self.n_dropped += sample.n_dropped
        self.conditions.update([sample.condition] if sample.condition else [])
        if whole.any():
            self._add_places(sample.points[whole])
            self._add_intensity(sample.intensity[whole], card)
        if sample.labels is not None:
            self.n_labelled += 1
            self.n_annotated += len(sample.labels)
            ids, counts = np.unique(sample.labels, return_counts=True)
            self.classes.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
            self.unknown.update(sample.unknown_labels)

    def _add_places(self, points: Float32) -> None:
        self.n_zeros += int((~points.any(axis=1)).sum())
        self.n_duplicates += len(points) - n_places(points)
        self.reaches_m.append(float(np.sqrt((points.astype(np.float64) ** 2).sum(axis=1).max())))
        low, high = np.percentile(points[:, 2], (1, 99)).tolist()
        self.heights_m.append((low, high))

    def _add_intensity(self, values: Float32, card: Card) -> None:
        self.intensities.append((float(values.min()), float(values.mean()), float(values.max())))
        self.n_outside += _n_outside(values, card)

    @property
    def n_loaded(self) -> int:
        """Frames that were counted."""
        return len(self.n_points)

    @property
    def total_points(self) -> int:
        """Points that were counted."""
        return sum(self.n_points)

    def judge(self, place: str, card: Card, findings: Findings, *, needs_labels: bool) -> None:
        """Tell what looks wrong.

        Args:
            place: What was counted, for the findings.
            card: What should be there.
            findings: Added to.
            needs_labels: Whether frames of this split are learnt from or scored.
        """
        if not self.n_loaded:
            return
        if not self.total_points or self.n_strange:
            count = f"{self.n_strange} of {self.total_points}"
            what = f"{count} points are not numbers." if self.n_strange else "There are no points."
            findings.fault(place, what, "The reader should refuse such a file, and name it.")
        self._judge_labels(place, card, findings, needs_labels)
        if self.intensities:
            self._judge_intensity(place, card, findings)
        for n_odd, most, told in (
            (self.n_zeros, MOST_ZEROS, "points lie at the sensor's own place (0, 0, 0)"),
            (self.n_duplicates, MOST_DUPLICATES, "points lie exactly where another one does"),
        ):
            if n_odd > most * self.total_points:
                share = n_odd / self.total_points
                findings.warning(
                    place, f"{share:.1%} of the {told}.", "Is this the original release?"
                )

    def _judge_labels(self, place: str, card: Card, findings: Findings, needs_labels: bool) -> None:
        strange = sorted(set(self.classes) - {*range(len(card.classes)), IGNORE})
        if strange:
            findings.fault(
                place, f"There are labels {strange} but no such classes.", "Mend reader or card."
            )
        unlabelled = self.n_loaded - self.n_labelled
        if unlabelled and needs_labels:
            findings.fault(
                place,
                f"{unlabelled} of the {self.n_loaded} frames looked at have no labels.",
                "Unpack the labels of this data set beside its scans.",
            )
        if self.n_labelled and self.classes[IGNORE] == self.n_annotated:
            findings.fault(
                place,
                "Not one point has a class that is scored.",
                "These may be another data set's labels, or a test set's placeholders.",
            )
        if self.unknown:
            share = self.unknown.total() / self.n_annotated
            ids = ", ".join(f"{raw} ({n} points)" for raw, n in self.unknown.most_common(6))
            tell = findings.fault if share > MOST_UNKNOWN else findings.warning
            tell(
                place,
                f"{share:.2%} of the points carry raw ids that the card does not list: {ids}.",
                "They count as ignored. Are these the labels of this data set and release?",
            )

    def _judge_intensity(self, place: str, card: Card, findings: Findings) -> None:
        scale = card.intensity
        least, most = min(i[0] for i in self.intensities), max(i[2] for i in self.intensities)
        span = f"{scale.minimum:g} to {scale.maximum:g}"
        if self.n_outside > MOST_OUTSIDE * self.total_points:
            findings.warning(
                place,
                f"Intensity goes from {least:g} to {most:g}; the card says {span}, and "
                f"{self.n_outside / self.total_points:.1%} of the points lie outside.",
                "The file may be another release's; recipes scale intensity by the card.",
            )
        elif least == most:
            findings.warning(place, f"Intensity is {least:g} everywhere.", "It tells nothing.")
        elif most - scale.minimum < LEAST_OF_SCALE * (scale.maximum - scale.minimum):
            findings.warning(
                place,
                f"Intensity reaches {most:g} only; the card says {span}.",
                "The file may be on another scale; recipes scale intensity by the card.",
            )


def n_places(points: Float32) -> int:
    """How many different places points (N, 3) are at."""
    rows = np.ascontiguousarray(points, dtype=np.float32) + np.float32(0)  # no minus zero
    return len(np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))))


def _n_outside(values: Float32, card: Card) -> int:
    scale = card.intensity
    slack = 1e-3 * (scale.maximum - scale.minimum)
    above = values > scale.maximum + slack
    if scale.unit == "tanh":  # the maximum is what is usual, not what is possible
        above = np.zeros_like(above)
    return int((above | (values < scale.minimum - slack)).sum())

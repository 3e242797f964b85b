"""What a job will cost, judged by what its like have cost. Pure.

Offers `Estimate`, `Costs` (`Costs.of` one job) and `rough_weight`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from lima_bench.common.hashing import digest
from lima_bench.results.record import Record
from lima_bench.suites.job import Job

Basis = Literal["same settings", "same stage", "none"]


@dataclass(frozen=True)
class Estimate:
    """What one job is expected to take.

    Attributes:
        wall_hours: None where nothing is known.
        peak_memory_gb: Likewise.
        disk_gb: Of what it leaves; likewise.
        basis: The records that it was judged by.
    """

    wall_hours: float | None = None
    peak_memory_gb: float | None = None
    disk_gb: float | None = None
    basis: Basis = "none"


@dataclass(frozen=True)
class Costs:
    """Measured records, grouped so that the most similar ones are found first.

    Attributes:
        alike: Digest of stage and settings (any seed, any input) to its records.
        stages: Stage to its records.
    """

    alike: Mapping[str, list[Record]] = field(default_factory=dict)
    stages: Mapping[str, list[Record]] = field(default_factory=dict)

    @classmethod
    def learn(cls, records: Iterable[Record]) -> Costs:
        """Group `records` that hold a measured time."""
        alike: dict[str, list[Record]] = {}
        stages: dict[str, list[Record]] = {}
        for record in records:
            if "wall_hours" in record.measured:
                alike.setdefault(_likeness(record.stage, record.config), []).append(record)
                stages.setdefault(record.stage, []).append(record)
        return cls(alike, stages)

    def of(self, job: Job) -> Estimate:
        """The mean of records with the same settings, else of the same stage by its length."""
        same = self.alike.get(_likeness(job.stage, job.config))
        if same:
            hours = fmean(r.measured["wall_hours"] for r in same)
            return Estimate(hours, *_sizes(same), "same settings")
        stage = self.stages.get(job.stage)
        if not stage:
            return Estimate()
        rates = fmean(r.measured["wall_hours"] / rough_weight(r.stage, r.config) for r in stage)
        hours = rates * rough_weight(job.stage, job.config)
        return Estimate(hours, *_sizes(stage), "same stage")


def rough_weight(stage: str, config: Mapping[str, Any]) -> float:
    """How heavy a job is beside others, in 20ths of a second of the embedded profile.

    Used before anything was measured: it orders jobs and makes a first guess at the time to go.
    """
    recipe = config.get("recipe")
    if stage == "world":
        # A store may hold records of a version that rendered every data set in one job.
        drives = [config["spec"].get(config["dataset"], {})] if "dataset" in config else []
        return 1.0 + 0.5 * sum(map(_n_frames, drives or config["spec"].values()))
    if recipe is None:
        return {"features": 100.0, "superpixels": 100.0, "clusters": 2000.0}.get(stage, 1.0)
    length = recipe["length"]
    share = config.get("labels", {}).get("share", "100%")
    part = float(share[:-1]) / 100 if share.endswith("%") else 1.0
    # An epoch of the data sets in use is some thousand steps.
    steps = length["steps"] or length["epochs"] * max(10.0, 5000.0 * part)
    unit = {"pretrain": 1.5, "linear_probe": 0.4}.get(stage, 1.0)
    return float(steps * recipe["batch_size"] * unit)


def _n_frames(drive: Any) -> float:
    """About how many scans and images the settings of one data set ask for."""
    if not isinstance(drive, Mapping):
        return 0.0
    numbers = {name: float(v) for name, v in drive.items() if isinstance(v, int)}
    scenes = numbers.get("train_scenes", 0.0) * numbers.get("train_keyframes", 0.0)
    segments = numbers.get("train_segments", 0.0) * numbers.get("frames", 0.0)
    frames = 4 * numbers.get("train_frames", 0.0) + 6 * numbers.get("scans", 0.0)
    return 2 * scenes + 10 * numbers.get("train_scans", 0.0) + 4 * segments + frames


def _likeness(stage: str, config: Mapping[str, Any]) -> str:
    return digest({"stage": stage, "config": config})


def _sizes(records: Iterable[Record]) -> tuple[float | None, float | None]:
    """The largest peak of memory, and the largest artifact."""
    measured = [record.measured for record in records]
    return (
        max((m["peak_memory_gb"] for m in measured if "peak_memory_gb" in m), default=None),
        max((m["disk_gb"] for m in measured if "disk_gb" in m), default=None),
    )

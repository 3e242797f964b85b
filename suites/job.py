"""One piece of work with a content address; shared by every cell that needs it.

Offers `Job`, `STAGES` (their order), `DOWNSTREAM`, `SPREADING` and `world_role`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lima_bench.common.hashing import digest

STAGES = (
    "world",
    "features",
    "superpixels",
    "clusters",
    "adopt",
    "pretrain",
    "linear_probe",
    "finetune",
    "detect",
)
"""Every stage, upstream first."""

DOWNSTREAM = frozenset({"linear_probe", "finetune", "detect"})
"""Stages whose score stands in a cell."""

SPREADING = frozenset({"world", "superpixels", "clusters"})
"""Stages that spread over as many processes as they are given."""


def world_role(dataset: str) -> str:
    """The role of the world, written as a data set, among a job's inputs."""
    return f"world {dataset}"


@dataclass(frozen=True)
class Job:
    """What to do, and nothing about where or how fast.

    Attributes:
        stage: One of `STAGES`.
        version: Of the method, task or world that does the work.
        config: Everything resolved that may change a number; enters the key.
        seed: None for stages without a seed of their own; enters the key.
        inputs: Role to key of the jobs whose artifacts it reads; enters the key.
        runtime: What the work needs but no number depends on: precision, checkpoint interval.
    """

    stage: str
    version: int
    config: Mapping[str, Any]
    seed: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of what may change a number."""
        return digest(
            {
                "stage": self.stage,
                "version": self.version,
                "config": self.config,
                "seed": self.seed,
                "inputs": self.inputs,
            }
        )

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that it reads."""
        data = self.config.get("data", [])
        parts = [data] if isinstance(data, Mapping) else data
        return tuple(part["dataset"] for part in parts)

    @property
    def title(self) -> str:
        """A few words for progress lines."""
        config = self.config
        words = [
            config.get("method") or config.get("teacher", {}).get("name") or "",
            *dict.fromkeys((config.get("kind", ""), config.get("segmenter", ""))),
            config.get("backbone", ""),
            config.get("detector", ""),
            config.get("dataset", "") or "+".join(self.datasets),
            config.get("labels", {}).get("share", ""),
            "" if self.seed is None else f"seed {self.seed}",
        ]
        return " ".join([self.stage, *(str(word) for word in words if word)])

"""Which code made a number: a digest of the sources that a stage depends on.

Offers `CodeKeys`, `read_code`, `module_names` and `lineage`. A record whose code differs from
today's is *stale*. Only `read_code` and `module_names` touch the disk.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lima_bench.common.hashing import digest, tree_digest
from lima_bench.datasets.api import base_of
from lima_bench.suites.job import DOWNSTREAM, STAGES, Job

_PARTS = ("common", "datasets", "lima", "downstream")
"""In the order of the arrows: each part may use those before it."""

_APART = frozenset({"mmdet3d"})
"""Folders that no job uses: a plug-in of ours for other software."""

_GLUE = tuple(Path(__file__).with_name(name) for name in ("stages.py", "sources.py"))


@dataclass(frozen=True)
class CodeKeys:
    """Today's code.

    Attributes:
        stages: Stage to the digest of its sources.
        foreign: ``method NAME``, ``segmenter NAME`` or ``dataset NAME`` of a plug-in to the digest
            of its file.
    """

    stages: Mapping[str, str]
    foreign: Mapping[str, str] = field(default_factory=dict)

    def own(self, job: Job) -> str:
        """Digest of the code that does this one job."""
        names = (
            f"method {job.config.get('method')}",
            f"segmenter {job.config.get('segmenter')}",
            *(f"dataset {base_of(name)}" for name in job.datasets),
        )
        plugged = {name: self.foreign[name] for name in names if name in self.foreign}
        return digest([self.stages[job.stage], plugged]) if plugged else self.stages[job.stage]


def lineage(own: str, inputs: Mapping[str, str]) -> str:
    """Digest of a job's own code and of that of every job before it.

    Args:
        own: `CodeKeys.own` of the job.
        inputs: Role to the lineage of that input.
    """
    return digest([own, dict(inputs)])


@cache
def read_code() -> Mapping[str, str]:
    """Stage to the digest of its sources, as they lie on disk now."""
    parts = {part: _part_digest(part) for part in _PARTS}
    glue = tree_digest(Path(__file__).parent, _GLUE)
    found = {}
    for stage in STAGES:
        n_parts = 4 if stage in DOWNSTREAM else 3
        found[stage] = digest([glue, *(parts[part] for part in _PARTS[:n_parts])])
    return {**found, "world": digest([parts[part] for part in _PARTS[:2]])}


def module_names() -> list[str]:
    """Every module that a job may import.

    Workers are forked with all of them loaded: an edit during a run then reaches no later job,
    whose record would name code that did not make it.
    """
    names = []
    for part in _PARTS:
        root = _part_root(part)
        for path in _sources(root, (".py",)):
            steps = path.relative_to(root).with_suffix("").parts
            names.append(".".join(["lima_bench", part, *steps]).removesuffix(".__init__"))
    return names


def _part_root(part: str) -> Path:
    spec = importlib.util.find_spec(f"lima_bench.{part}")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"lima_bench.{part}")
    return Path(next(iter(spec.submodule_search_locations)))


def _part_digest(part: str) -> str:
    root = _part_root(part)
    return tree_digest(root, _sources(root, (".py", ".yaml")))


def _sources(root: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a part that jobs depend on."""
    found = (path for path in root.rglob("*") if path.suffix in suffixes)
    return sorted(p for p in found if not _APART.intersection(p.relative_to(root).parts))

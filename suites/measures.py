"""What a column may ask of a row's pretraining itself: measures and their numbers. Pure.

Offers `MEASURES`, `Measure`, `find_measure`, `value_of`, `shared_inputs`, `timed_jobs`,
`samples_of` and `ran_alone`. `lima_bench.suites.measure` takes the measures, in the job.

A cached stage that pretraining reads (teacher features, superpixels) is paid for once and serves
many rows. ``wall_hours`` leaves it out, ``wall_hours_with_shared`` counts it in whole, as if the
row were the only one. Rendering the built-in world belongs to neither: recordings are given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lima_bench.results.record import Record
from lima_bench.results.table import Quantity
from lima_bench.suites.job import Job

if TYPE_CHECKING:
    from lima_bench.suites.expand import Expansion

STAGE = "pretrain"
"""The stage that columns may ask measures of."""

SCORES = "scores."
"""Opens the name of a number that the method itself returns, such as ``scores.final_loss``."""


@dataclass(frozen=True)
class Measure:
    """One thing that is measured.

    Attributes:
        title: What it is, in a few words.
        field: Of ``Record.measured``.
        quantity: What kind of thing, which decides its units.
        timed: Whether other work on the machine changes it, so that its job must run alone.
        shared: Which cached stages count: none, ``added`` to the job's own, or those ``only``.
    """

    title: str
    field: str
    quantity: Quantity
    timed: bool = False
    shared: Literal["none", "added", "only"] = "none"


def _time(title: str, field: str, shared: Literal["none", "added", "only"] = "none") -> Measure:
    quantity: Quantity = "seconds" if "seconds" in field else "hours"
    return Measure(title, field, quantity, timed=True, shared=shared)


_ADDED = "with the cached stages that it reads counted in"

MEASURES: Mapping[str, Measure] = {
    "wall_hours": _time("wall time of the pretraining itself", "wall_hours"),
    "wall_hours_with_shared": _time(f"wall time {_ADDED}", "wall_hours", "added"),
    "shared_wall_hours": _time("wall time of cached stages alone", "wall_hours", "only"),
    "cpu_hours": _time("CPU time of the pretraining itself", "cpu_hours"),
    "cpu_hours_with_shared": _time(f"CPU time {_ADDED}", "cpu_hours", "added"),
    "shared_cpu_hours": _time("CPU time of cached stages alone", "cpu_hours", "only"),
    "wall_seconds_per_sample": _time("wall time per scan", "wall_seconds_per_sample"),
    "cpu_seconds_per_sample": _time("CPU time per scan", "cpu_seconds_per_sample"),
    "peak_memory_gb": Measure(
        "peak memory where the network is: of the GPU, of the process without one",
        "peak_memory_gb",
        "gigabytes",
    ),
    "peak_resident_gb": Measure(
        "peak resident memory of the process", "peak_resident_gb", "gigabytes"
    ),
    "peak_device_gb": Measure("peak GPU memory in tensors", "peak_device_gb", "gigabytes"),
    "peak_device_reserved_gb": Measure(
        "peak GPU memory that was reserved", "peak_device_reserved_gb", "gigabytes"
    ),
    "disk_gb": Measure("size of the checkpoint", "disk_gb", "gigabytes"),
}


def find_measure(name: str) -> Measure | None:
    """The measure that a column's ``pretrain.NAME`` means; None for a score of the method.

    Raises:
        KeyError: There is none of that name.
    """
    stage, _, rest = name.partition(".")
    if stage != STAGE:
        raise KeyError(name)
    return None if rest.startswith(SCORES) and rest != SCORES else MEASURES[rest]


def measure_names() -> list[str]:
    """Every measure as a column writes it."""
    return [f"{STAGE}.{name}" for name in MEASURES]


def value_of(measure: Measure, own: Record, shared: Sequence[Record]) -> float | None:
    """The number of one seed; None where a record does not hold it (no GPU, an older version).

    Args:
        measure: What is asked.
        own: Of the pretraining.
        shared: Of the cached stages that it read.
    """
    records = [*([] if measure.shared == "only" else [own])]
    records += [] if measure.shared == "none" else shared
    numbers = [record.measured.get(measure.field) for record in records]
    if any(number is None for number in numbers):
        return None
    return float(sum(float(number) for number in numbers if number is not None))


def shared_inputs(jobs: Mapping[str, Job], key: str) -> list[str]:
    """Keys of the cached stages before the pretraining `key`, each once; no rendered world."""
    found: dict[str, None] = {}
    for source in jobs[key].inputs.values():
        if jobs[source].stage not in ("world", STAGE):
            found |= dict.fromkeys([*shared_inputs(jobs, source), source])
    return list(found)


def timed_jobs(expansion: Expansion) -> frozenset[str]:
    """Keys of jobs whose time a column shows: they run alone."""
    asked = {c.id: find_measure(c.measure) for c in expansion.columns if c.measure is not None}
    timed: set[str] = set()
    for cell in expansion.cells:
        measure = asked.get(cell.column)
        if measure is not None and measure.timed:
            timed.update(cell.jobs.values())
            if measure.shared != "none":
                for key in cell.jobs.values():
                    timed.update(shared_inputs(expansion.jobs, key))
    return frozenset(timed)


def samples_of(job: Job, scores: Mapping[str, float], world_size: int = 1) -> float | None:
    """Scans that a training job showed, counted as often as it showed them; None for other jobs.

    Args:
        job: What was done.
        scores: What it returned.
        world_size: Processes that trained together; a recipe's batch is that of one.
    """
    steps, recipe = scores.get("steps"), job.config.get("recipe")
    if not steps or recipe is None:
        return None
    return float(steps * recipe["batch_size"] * world_size)


def ran_alone(record: Record) -> bool:
    """Whether nothing else of lima-bench ran on the machine meanwhile, as far as it was noted."""
    return record.measured.get("alone") is True


def beside_others(records: Mapping[str, Record], keys: Collection[str]) -> list[str]:
    """Those of `keys` whose record was made beside other work, or holds no note of it."""
    return [key for key in keys if key in records and not ran_alone(records[key])]

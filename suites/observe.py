"""Runs a job inside a sacred `Experiment`, so that any of sacred's observers sees it.

Offers `observed`. The run's id is the job's key, its result one number (`result_of`); artifacts are
named in ``info``, not copied. Tables never read what is written here.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lima_bench.common.progress import Report
from lima_bench.results.store import Store
from lima_bench.suites.order import Order

if TYPE_CHECKING:
    from lima_bench.suites.work import Outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # sacred imports pkg_resources
    from sacred import SETTINGS, Experiment
    from sacred.observers import FileStorageObserver

SETTINGS.CAPTURE_MODE = "sys"
SETTINGS.DISCOVER_SOURCES = "none"
SETTINGS.DISCOVER_DEPENDENCIES = "none"
SETTINGS.HOST_INFO.INCLUDE_CPU_INFO = False
SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False


def observed(
    order: Order, store: Store, run: Callable[[Report], Outcome], report: Report
) -> Outcome:
    """Call ``run(report)`` under observation.

    Args:
        order: What is done.
        store: Whose ``sacred`` folder receives the run.
        run: The work; scalars that it reports become sacred metrics.
        report: Hears of the progress as well.
    """
    job = order.job
    # Sacred refuses an id that it has seen; a job that was killed or went stale runs again.
    shutil.rmtree(store.sacred(job.key), ignore_errors=True)
    experiment = Experiment(job.stage, save_git_info=False)
    experiment.add_config(  # type: ignore[no-untyped-call]
        stage=job.stage,
        version=job.version,
        seed=job.seed if job.seed is not None else 0,
        config=dict(job.config),
        inputs=dict(job.inputs),
    )
    experiment.observers.append(FileStorageObserver(store.sacred(job.key).parent))
    outcomes: list[Outcome] = []

    @experiment.main  # type: ignore[untyped-decorator]
    def main(_run: Any) -> float | None:
        def relay(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
            for name, value in (metrics or {}).items():
                _run.log_scalar(name, value, done)
            report(done, total, metrics)

        outcome = run(relay)
        outcomes.append(outcome)
        for name, value in outcome.scores.items():
            _run.log_scalar(f"score.{name}", value)
        if store.artifact(job.key).is_dir():
            _run.info["artifact"] = f"artifacts/{job.key}"
        return result_of(outcome.scores)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment.run(
            options={"--id": job.key, "--loglevel": "WARNING"},
        )
    return outcomes[0]


def result_of(scores: Mapping[str, float]) -> float | None:
    """The one number that sacred shows: SQL and TinyDB observers take no dictionaries."""
    return scores.get("miou", next(iter(scores.values()), None))

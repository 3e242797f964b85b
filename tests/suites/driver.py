"""A driver as a program of its own, for tests with several of them: STORE JOBS [EXECUTOR]."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "fakes"), str(HERE)]


def main(store: str, jobs: str, executor: str = "process") -> int:
    """Run a small suite on `store`; prints what it did itself."""
    import conftest
    import fake_stages

    from lima_bench.results.store import Store
    from lima_bench.suites.chain import Identity
    from lima_bench.suites.code import CodeKeys
    from lima_bench.suites.executors.base import make_executor
    from lima_bench.suites.expand import expand
    from lima_bench.suites.job import STAGES
    from lima_bench.suites.load import load
    from lima_bench.suites.plan import make_plan
    from lima_bench.suites.progress import Lines
    from lima_bench.suites.run import Setup, execute

    known = conftest._known_with()
    loaded = load("table1", "embedded", known)
    parts = {name: {"seed": 0, name: {}} for name in known.datasets}
    world = Identity(world=parts, world_version=1)
    options = {"only": "random,slidr,lima", "columns": "nus-lp,nus-1%"}
    expansion = expand(loaded, known, world, **options)
    code = CodeKeys({stage: stage for stage in STAGES})
    place = Store.open(Path(store))
    records = {record.key: record for record in place.records()}
    present = {key for key in expansion.jobs if place.artifact(key).is_dir()}
    plan = make_plan(expansion, records, code, present=present)
    setup = Setup(place, fake_stages.STAGES, code, jobs=int(jobs))
    preload = ["lima_bench.suites.observe"]
    pool = make_executor(executor, int(jobs), preload)
    return execute(plan, setup, pool, Lines(sys.stdout)).exit_code


def through_the_command_line(store: str) -> None:
    """``lima-bench run`` with the stages that train nothing."""
    import fake_stages

    from lima_bench.suites import cli
    from lima_bench.suites.verbs import run

    run.STAGE_FUNCTIONS = fake_stages.STAGES
    run.preload = lambda: ["lima_bench.suites.observe"]
    words = ["run", "table1", "--only", "random", "--columns", "nus-lp", "--store", store]
    sys.argv = ["lima-bench", *words]
    cli.main()


if __name__ == "__main__":
    # A shell that starts the tests in the background has them ignore Ctrl-C; this program must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[2] == "cli":
        through_the_command_line(sys.argv[1])
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

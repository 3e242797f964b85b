"""The command line: argument parsing only; every verb lives in `lima_bench.suites.verbs`.

Offers `main`. A `UserError` is printed without traceback and gives exit code 2.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lima_bench.common.errors import UserError

if TYPE_CHECKING:
    from lima_bench.suites.session import Request

app = typer.Typer(
    name="lima-bench",
    help="The benchmark suite of image-to-LiDAR pretraining.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A built-in name or a YAML file.")]
Profile = Annotated[str, typer.Option(help="smoke, embedded, paper, or a YAML file.")]
Only = Annotated[str, typer.Option(metavar="GLOB", help="Rows to keep; several with commas.")]
Columns = Annotated[str, typer.Option(metavar="GLOB", help="Columns to keep, likewise.")]
Seeds = Annotated[str | None, typer.Option(metavar="0,1,2", help="In place of the suite's.")]
Store = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where results lie; LIMA_BENCH_STORE, else ./runs."),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="One folder per data set; LIMA_BENCH_DATA."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one setting, e.g. pretrain.batch_size=4."
    ),
]
Plugs = Annotated[
    list[Path] | None,
    typer.Option("--plug", metavar="FILE.py", help="A file with methods or data sets of yours."),
]
Jobs = Annotated[int | None, typer.Option(help="Jobs at a time; default: one per core or GPU.")]
Executor = Annotated[str, typer.Option(help="inline, process, slurm or ray.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
AcceptStale = Annotated[
    bool, typer.Option("--accept-stale", help="Use records that other code made.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Against = Annotated[str | None, typer.Option(metavar="paper|golden", help="What to compare with.")]


@app.command("run")
def _run(  # noqa: PLR0913 - one argument an option
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    seeds: Seeds = None,
    jobs: Jobs = None,
    executor: Executor = "process",
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    device: Device = "cpu",
    accept_stale: AcceptStale = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Do what is missing, then print and write the table."""
    from lima_bench.suites.verbs import run

    request = _request(suite, profile, only, columns, seeds, store, data, sets, plugs)
    manner = run.Manner(
        jobs=jobs,
        executor=executor,
        device=device,
        accept_stale=accept_stale,
        quiet=quiet,
        as_json=as_json,
    )
    raise typer.Exit(run.run(request, manner))


@app.command("prepare")
def _prepare(  # noqa: PLR0913 - one argument an option
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    jobs: Jobs = None,
    executor: Executor = "process",
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    device: Device = "cpu",
    accept_stale: AcceptStale = False,
    quiet: Quiet = False,
) -> None:
    """Render or verify the data, cache teacher features and superpixels."""
    from lima_bench.suites.verbs import run

    request = _request(suite, profile, only, columns, None, store, data, sets, plugs)
    manner = run.Manner(
        jobs=jobs, executor=executor, device=device, accept_stale=accept_stale, quiet=quiet
    )
    raise typer.Exit(run.prepare(request, manner))


@app.command("plan")
def _plan(
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    seeds: Seeds = None,
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    budget: Annotated[str | None, typer.Option(metavar="24h", help="Choose cells.")] = None,
    accept_stale: AcceptStale = False,
    as_json: AsJson = False,
) -> None:
    """What would run, what is done, what it would cost."""
    from lima_bench.suites.verbs import plan

    request = _request(suite, profile, only, columns, seeds, store, data, sets, plugs)
    raise typer.Exit(plan.plan(request, budget=budget, accept_stale=accept_stale, as_json=as_json))


@app.command("show")
def _show(
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    seeds: Seeds = None,
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    against: Against = None,
    as_json: AsJson = False,
) -> None:
    """The table as it stands, holes visible."""
    from lima_bench.suites.verbs import show

    request = _request(suite, profile, only, columns, seeds, store, data, sets, plugs)
    raise typer.Exit(show.show(request, against=against, as_json=as_json))


@app.command("export")
def _export(  # noqa: PLR0913 - one argument an option
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    seeds: Seeds = None,
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    against: Against = None,
    csv: Annotated[Path | None, typer.Option(metavar="F")] = None,
    latex: Annotated[Path | None, typer.Option(metavar="F")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="F")] = None,
    html: Annotated[Path | None, typer.Option(metavar="F")] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Not built yet.")] = None,
) -> None:
    """Write the table to files."""
    from lima_bench.suites.verbs import show

    if figures is not None:
        raise _not_built("lima-bench export --figures")

    request = _request(suite, profile, only, columns, seeds, store, data, sets, plugs)
    named = {"csv": csv, "tex": latex, "md": markdown, "html": html}
    files = {ending: path for ending, path in named.items() if path is not None}
    raise typer.Exit(show.export(request, files, against=against))


@app.command("check")
def _check(
    suite: SuiteName,
    profile: Profile = "embedded",
    only: Only = "*",
    columns: Columns = "*",
    seeds: Seeds = None,
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
    against: Against = None,
    junit: Annotated[Path | None, typer.Option(metavar="F", help="Verdicts as XML.")] = None,
    update: Annotated[
        bool, typer.Option("--update-golden", help="Keep today's numbers as the golden ones.")
    ] = False,
) -> None:
    """A verdict per cell; exit 0 all fine, 1 a verdict failed, 4 cells missing."""
    from lima_bench.suites.verbs import show

    request = _request(suite, profile, only, columns, seeds, store, data, sets, plugs)
    raise typer.Exit(show.check(request, against=against, junit=junit, update=update))


@app.command("why")
def _why(
    suite: SuiteName,
    row: str,
    column: str,
    other_row: Annotated[str | None, typer.Argument()] = None,
    profile: Profile = "embedded",
    seeds: Seeds = None,
    store: Store = None,
    data: Data = None,
    sets: Sets = None,
    plugs: Plugs = None,
) -> None:
    """The chain behind one number, or what differs from another row."""
    from lima_bench.suites.verbs import why

    request = _request(suite, profile, "*", "*", seeds, store, data, sets, plugs)
    raise typer.Exit(why.why(request, row, column, other_row))


@app.command("list")
def _list(
    kind: Annotated[str | None, typer.Argument(metavar="KIND")] = None,
    plugs: Plugs = None,
    as_json: AsJson = False,
) -> None:
    """Suites, profiles, recipes, methods, teachers, datasets, backbones, tasks."""
    from lima_bench.suites.verbs import listing

    raise typer.Exit(listing.list_things(kind, tuple(plugs or ()), as_json=as_json))


@app.command("doctor")
def _doctor(
    subject: Annotated[str | None, typer.Argument(metavar="data|gpu|weights|plugin")] = None,
    name: Annotated[str | None, typer.Argument()] = None,
    data: Data = None,
    plugs: Plugs = None,
) -> None:
    """What is here, what is missing, and what to do about it."""
    from lima_bench.suites.verbs import doctor

    raise typer.Exit(doctor.doctor(subject, name, data=data, plugs=tuple(plugs or ())))


@app.command("adopt")
def _adopt(
    weights: Path,
    name: Annotated[str, typer.Option("--as", metavar="NAME")],
    layout: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Make a row of an outside checkpoint (not built yet)."""
    del name, layout
    raise _not_built(f"lima-bench adopt {weights}")


@app.command("new")
def _new(kind: Annotated[str, typer.Argument(metavar="method|dataset")], name: str) -> None:
    """A working start for a plug-in (not built yet)."""
    raise _not_built(f"lima-bench new {kind} {name}")


class Interrupted(BaseException):
    """This process is asked to end; not a KeyboardInterrupt, for typer would eat that."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _interrupt) for number in signals]
    try:
        app(prog_name="lima-bench")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except Interrupted:
        sys.stderr.write("\nInterrupted. What was finished is kept; the same command goes on.\n")
        sys.exit(130)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise Interrupted


def _not_built(where: str) -> UserError:
    return UserError(where, "This is not built yet.", "See lima-bench --help.")


def _request(
    suite: str,
    profile: str,
    only: str,
    columns: str,
    seeds: str | None,
    store: Path | None,
    data: Path | None,
    sets: list[str] | None,
    plugs: list[Path] | None,
) -> Request:
    from lima_bench.suites.session import Request, seeds_of

    return Request(
        suite=suite,
        profile=profile,
        only=only,
        columns=columns,
        seeds=seeds_of(seeds),
        store=store,
        data=data,
        sets=tuple(sets or ()),
        plugs=tuple(plugs or ()),
    )


if __name__ == "__main__":
    main()

"""The command line: argument parsing only; every verb lives in `lima_bench.suites.verbs`.

Offers `main`. A `UserError` is printed without traceback and gives exit code 2.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lima_bench.common.errors import UserError
from lima_bench.suites.interrupts import Interrupted, interruptible
from lima_bench.suites.options import (
    AcceptStale,
    Against,
    AsJson,
    Columns,
    Data,
    Device,
    Executor,
    FigureFolder,
    FramesDrawn,
    Jobs,
    LabelsOf,
    Layout,
    LeastScore,
    Only,
    Plugs,
    Profile,
    Quiet,
    Seeds,
    Sets,
    Store,
    StudentRecipe,
    SuiteName,
    WorldOf,
    request_of,
)

app = typer.Typer(
    name="lima-bench",
    help="The benchmark suite of image-to-LiDAR pretraining.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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

    request = request_of(suite, profile, only, columns, seeds, store, data, sets, plugs)
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
    """Render or verify the data, cache teacher features, superpixels and clusters."""
    from lima_bench.suites.verbs import run

    request = request_of(suite, profile, only, columns, None, store, data, sets, plugs)
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

    request = request_of(suite, profile, only, columns, seeds, store, data, sets, plugs)
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

    request = request_of(suite, profile, only, columns, seeds, store, data, sets, plugs)
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
    figures: FigureFolder = None,
    score: LeastScore = None,
    frames: FramesDrawn = None,
) -> None:
    """Write the table to files, and what there is of curves and detections."""
    from lima_bench.suites.verbs import show

    request = request_of(suite, profile, only, columns, seeds, store, data, sets, plugs)
    named = {"csv": csv, "tex": latex, "md": markdown, "html": html}
    files = {ending: path for ending, path in named.items() if path is not None}
    drawn = show.Figures(figures, score, frames)
    raise typer.Exit(show.export(request, files, against=against, figures=drawn))


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

    request = request_of(suite, profile, only, columns, seeds, store, data, sets, plugs)
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

    request = request_of(suite, profile, "*", "*", seeds, store, data, sets, plugs)
    raise typer.Exit(why.why(request, row, column, other_row))


@app.command("list")
def _list(
    kind: Annotated[str | None, typer.Argument(metavar="KIND")] = None,
    name: LabelsOf = None,
    data: Data = None,
    profile: WorldOf = None,
    store: Store = None,
    plugs: Plugs = None,
    as_json: AsJson = False,
) -> None:
    """Suites, profiles, recipes, methods, teachers, datasets, backbones, tasks; labels."""
    from lima_bench.suites.verbs import listing

    wish = listing.Wish(
        kind, name, data, profile, store=store, plugs=tuple(plugs or ()), as_json=as_json
    )
    raise typer.Exit(listing.list_things(wish))


@app.command("doctor")
def _doctor(
    subject: Annotated[str | None, typer.Argument(metavar="data|gpu|weights|plugin")] = None,
    name: Annotated[str | None, typer.Argument(metavar="DATASET|PLUGIN")] = None,
    data: Data = None,
    plugs: Plugs = None,
    profile: WorldOf = None,
    frames: Annotated[int, typer.Option(help="data: frames of each split to load.")] = 20,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="data: of the picture; <store>/doctor.")
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="data: the report for programs.")
    ] = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """What is here, what is missing, and what to do about it."""
    from lima_bench.suites.verbs import doctor, doctor_data

    wish = doctor_data.Wish(
        name=name,
        data=data,
        profile=profile,
        n_frames=frames,
        out=out,
        store=store,
        as_json=as_json,
        plugs=tuple(plugs or ()),
        quiet=quiet,
    )
    look = partial(doctor_data.doctor_data, wish)
    raise typer.Exit(doctor.doctor(subject, name, data=data, plugs=wish.plugs, look=look))


@app.command("adopt")
def _adopt(
    weights: Annotated[Path, typer.Argument(metavar="FILE", help="A published checkpoint.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Of the row.")],
    layout: Layout = "auto",
    student: StudentRecipe = None,
    store: Store = None,
) -> None:
    """Make a row of an outside checkpoint, in every suite on this store."""
    from lima_bench.suites.verbs import adopt

    wish = adopt.Wish(weights=weights, name=name, layout=layout, student=student, store=store)
    raise typer.Exit(adopt.adopt(wish))


@app.command("new")
def _new(kind: Annotated[str, typer.Argument(metavar="method|dataset")], name: str) -> None:
    """A working start for a plug-in (not built yet)."""
    where = f"lima-bench new {kind} {name}"
    raise UserError(where, "This is not built yet.", "See lima-bench --help.")


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        with interruptible():
            app(prog_name="lima-bench")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except Interrupted:
        sys.stderr.write("\nInterrupted. What was finished is kept; the same command goes on.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

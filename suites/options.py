"""The options that several verbs share, with their help. Used by `lima_bench.suites.cli` only.

Offers them, and `request_of`, which gathers them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lima_bench.suites.session import Request

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
LabelsOf = Annotated[
    str | None, typer.Argument(metavar="DATASET", help="labels: of which data set.")
]
WorldOf = Annotated[str | None, typer.Option(metavar="embedded|smoke", help="The built-in world.")]
Layout = Annotated[str, typer.Option(help="Of its tensors: slidr, superflow, mmdet3d-spconv, ...")]
StudentRecipe = Annotated[
    str | None,
    typer.Option("--student", metavar="RECIPE", help="How it is fed, where weights do not tell."),
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

FigureFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Curves, and what detectors found: PNG, SVG.")
]
LeastScore = Annotated[
    float | None, typer.Option(help="figures: lowest score of a detection; default 0.3.")
]
FramesDrawn = Annotated[
    int | None, typer.Option(help="figures: frames drawn of each detector; default 3.")
]


def request_of(
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
    """What these options ask for.

    Raises:
        UserError: The seeds are no numbers.
    """
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

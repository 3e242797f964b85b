"""``python -m lima_bench.downstream.mmdet3d``: checkpoints, shares of labels, configurations.

None of it needs a package of OpenMMLab.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lima_bench.common.errors import UserError

CONFIGS = Path(__file__).parent / "configs"

app = typer.Typer(
    name="python -m lima_bench.downstream.mmdet3d",
    help="Our VoxelNet in mmdetection3d.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_Source = Annotated[Path, typer.Argument(metavar="FILE")]
_Target = Annotated[Path, typer.Argument(metavar="OUT")]


@app.command("export")
def _export(
    source: _Source,
    target: _Target,
    kernels: Annotated[
        str, typer.Option(help="mmcv: read by every mmdetection3d; spconv: as spconv 2 saves.")
    ] = "mmcv",
) -> None:
    """One of our checkpoints -> the SparseEncoder of mmdetection3d."""
    from lima_bench.downstream.mmdet3d.convert import to_mmdet3d

    n = len(to_mmdet3d(source, target, kernels))
    typer.echo(f"Written: {target}: {n} tensors. load_from = {str(target)!r}")


@app.command("import")
def _import(source: _Source, target: _Target) -> None:
    """A detector of mmdetection3d -> one of our checkpoints, its encoder."""
    from lima_bench.downstream.mmdet3d.convert import from_mmdet3d

    found = from_mmdet3d(source, target)
    typer.echo(
        f"Written: {target}: {found.backbone} of {found.in_channels} channels (layout "
        f"{found.layout}), {len(found.used)} tensors used, {len(found.skipped)} left out"
    )


@app.command("labels")
def _labels(
    root: Annotated[Path, typer.Argument(metavar="NUSCENES", help="With its info files.")],
    shares: Annotated[list[str], typer.Option("--share", help="5%, 10%, 20%, 5%@stride")],
) -> None:
    """Info files of mmdetection3d for a share of the labels."""
    from lima_bench.downstream.mmdet3d.labels import write_share

    for share in shares:
        done = write_share(root, share)
        typer.echo(
            f"Written: {done.files[0].name}, {done.files[1].name}: {done.share.name}, "
            f"{done.n_sequences} scenes, {len(done.share.frames)} frames, "
            f"{sum(done.n_objects.values())} objects. LIMA_BENCH_LABELS={done.label}"
        )


@app.command("configs")
def _configs() -> None:
    """Where the configurations lie, for mmdetection3d's own tools/train.py."""
    for path in sorted(CONFIGS.glob("*.py")):
        typer.echo(str(path))


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()

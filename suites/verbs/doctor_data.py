"""``lima-bench doctor data DATASET``: is it all here, does it fit together, what does it look like.

Offers `Wish` (what was asked for) and `doctor_data`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.files import write_atomic
from lima_bench.suites.identity import VARIABLE, data_root
from lima_bench.suites.session import load_plugs, store_folder

if TYPE_CHECKING:
    from lima_bench.suites.examine.examine import Begin, Examination

FOLDER = "doctor"
"""Below the store: pictures, and worlds that were rendered to be looked at."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for.

    Attributes:
        name: Data-set id, with or without a variant of its card.
        data: The data root; None: the environment's.
        profile: Examine the built-in world of this profile instead (``embedded``, ``smoke``).
        n_frames: Frames of each split that are loaded.
        out: Folder of the picture; None: ``doctor`` below the store.
        store: The store's folder; None: the environment's, else ``runs``.
        as_json: File for programs.
        plugs: Every ``--plug``.
        quiet: No progress, no report.
    """

    name: str | None
    data: Path | None = None
    profile: str | None = None
    n_frames: int = 20
    out: Path | None = None
    store: Path | None = None
    as_json: Path | None = None
    plugs: Collection[Path] = ()
    quiet: bool = False


def doctor_data(wish: Wish) -> int:
    """Examine a data set, tell what was found and draw it; 0, or 2 if something needs the user.

    Raises:
        UserError: There is no such data set, or nothing of it at its place.
    """
    from lima_bench.datasets.api import base_of, open_dataset
    from lima_bench.suites.examine.examine import examine
    from lima_bench.suites.examine.progress import begin_on

    load_plugs(wish.plugs)
    if wish.name is None:
        raise UserError("lima-bench doctor data", "Which data set?", "doctor data nuscenes")
    if wish.profile is not None and wish.data is not None:
        what = "A profile's world is rendered; it does not lie below a data root."
        raise UserError(f"--profile {wish.profile}", what, "Give --profile or --data.")
    if wish.n_frames < 1:
        raise UserError(f"--frames {wish.n_frames}", "At least one frame.", "--frames 20")
    reader = open_dataset(wish.name, f"lima-bench doctor data {wish.name}")
    with begin_on(sys.stderr, quiet=wish.quiet) as begin:
        root = _root(wish, base_of(wish.name), begin)
        found = examine(reader, root, n_frames=wish.n_frames, begin=begin)
        picture = _draw(wish, found, begin)
    _tell(wish, found, picture)
    return 2 if found.findings.faults else 0


def _root(wish: Wish, name: str, begin: Begin) -> Path:
    """Where the data set lies; a world is rendered if it is not there yet.

    Raises:
        UserError: There is no data root, or no world of that name or in that manner.
    """
    if wish.profile is not None:
        return _world(wish, name, begin) / name
    root = data_root(wish.data)
    if root is None:
        how = f"Give --data DIR or {VARIABLE}, or look at the built-in world: --profile embedded."
        raise UserError("--data", "No data root is given.", how)
    return root / name


def _world(wish: Wish, name: str, begin: Begin) -> Path:
    from lima_bench.datasets.world.build import build_world
    from lima_bench.datasets.world.spec import SETS, named_spec
    from lima_bench.suites.machine import core_count

    if name not in SETS:
        raise unknown_name(f"--profile {wish.profile}", "data set of the world", name, SETS)
    spec = named_spec(str(wish.profile))
    folder = store_folder(wish.store) / FOLDER / f"world-{spec.digest_of(name)[:16]}"
    report = begin("rendering the world")
    return build_world(spec, folder, processes=core_count(), report=report, datasets=(name,))


def _draw(wish: Wish, found: Examination, begin: Begin) -> Path | None:
    """The picture's file; None if there is nothing to draw."""
    from lima_bench.suites.examine.picture import draw

    if found.portrait is None:
        return None
    begin("picture")
    folder = store_folder(wish.store) / FOLDER if wish.out is None else wish.out
    parts = [str(wish.name).replace(":", "-"), wish.profile or "", "png"]
    path = folder / ".".join(part for part in parts if part)
    world = f"   built-in world, {wish.profile}" if wish.profile else ""
    draw(found, found.portrait, f"{found.reader.card.title}{world}", path)
    return path


def _tell(wish: Wish, found: Examination, picture: Path | None) -> None:
    from rich.console import Console

    from lima_bench.suites.examine.report import to_json, to_terminal

    if wish.as_json is not None:
        facts = {**to_json(found), "picture": str(picture) if picture else None}
        write_atomic(wish.as_json, json.dumps(facts, indent=1) + "\n")
    if wish.quiet:
        return
    plain = not sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False, width=140 if plain else None)
    # Elsewhere than on a terminal paths and sentences stay whole, so that programs find them.
    console.print(to_terminal(found), soft_wrap=plain)
    typer.echo(f"picture: {picture}" if picture else "picture: none, for no frame could be read")

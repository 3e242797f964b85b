"""``lima-bench list labels``: what each label share means on the data at hand, in numbers.

Offers `list_labels`. Counts come from the frames that serve training: of recordings below the data
root, or of the built-in world of a profile as a run has rendered it into the store.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.api import DATASETS, base_of, open_dataset
from lima_bench.datasets.card import Card
from lima_bench.datasets.label_shares import CONVENTIONS, DETECTION, convention_of, resolve
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.share_lists import folder_of
from lima_bench.datasets.splits import known_splits
from lima_bench.results.store import Store
from lima_bench.suites.identity import VARIABLE, data_root, world_identity
from lima_bench.suites.job import Job
from lima_bench.suites.profile_schema import Data, Splits
from lima_bench.suites.session import load_plugs, store_folder
from lima_bench.suites.verbs.listing import Wish

SHARES = ("1%", "5%", "10%", "20%", "25%", "50%", "100%")
WORLD = "embedded"
"""The world that is looked at where neither data nor a profile is named."""


@dataclass(frozen=True)
class Line:
    """One share by one convention.

    Attributes:
        share: Such as ``1%``.
        convention: The rule.
        frames: How many it selects.
        sequences: From how many.
        digest: Of the frame ids.
        is_own: Whether the card takes this convention for the share.
    """

    share: str
    convention: str
    frames: int
    sequences: int
    digest: str
    is_own: bool


def list_labels(wish: Wish) -> int:
    """Print the shares of one data set, or of every one that lies there; returns the exit code.

    Raises:
        UserError: There is no such data set, or nothing of it at its place.
    """
    load_plugs(wish.plugs)
    if wish.name is not None:
        open_dataset(wish.name, f"lima-bench list labels {wish.name}")
    roots = _roots(wish)
    found = {name: _lines_of(name, root) for name, root in roots.items()}
    if wish.as_json:
        typer.echo(json.dumps({n: [asdict(line) for line in lines] for n, lines in found.items()}))
        return 0
    for name, lines in found.items():
        _print(name, roots[name], lines)
    typer.echo("* the convention of the card")
    return 0


def _print(name: str, root: Path, lines: Sequence[Line]) -> None:
    typer.echo(f"{name}   {root}")
    if not lines:
        typer.echo("  no split for training")
        return
    typer.echo(f"  {'share':7}{'convention':18}{'frames':>8}{'sequences':>11}  hash")
    for line in lines:
        rule = f"{line.convention} *" if line.is_own else line.convention
        counts = f"{line.frames:>8}{line.sequences:>11}"
        typer.echo(f"  {line.share:7}{rule:18}{counts}  {line.digest[:16]}")


def _lines_of(name: str, root: Path) -> list[Line]:
    """The shares of one data set; none where nothing serves training, as with corrupted copies."""
    reader = open_dataset(name)
    split = Splits.model_validate(reader.card.roles).train
    if split not in known_splits(reader.card, root):
        return []
    return list(_lines(reader.card, reader.frames(root, split), folder_of(root)))


def _lines(card: Card, frames: Sequence[Frame], lists: Path) -> Iterator[Line]:
    """Every share by the card's convention, then by every other that gives it."""
    for share in SHARES:
        own = convention_of(card, share)
        for convention in sorted(_conventions(card, own), key=lambda name: (name != own, name)):
            try:
                chosen = resolve(card, frames, f"{share}@{convention}", lists=lists)
            except UserError:
                continue  # it selects nothing here, or there is no list of that share
            n_sequences = len({frame.sequence for frame in chosen.frames})
            counts = (len(chosen.frames), n_sequences)
            yield Line(share, convention, *counts, chosen.digest, convention == own)


def _conventions(card: Card, own: str) -> set[str]:
    """Those that mean something for the data set."""
    apart = set() if DETECTION in card.label_shares else {"detection-scene"}
    apart |= set() if card.sequence_shares else {"sequence"}
    return (set(CONVENTIONS) - apart) | {own}


def _roots(wish: Wish) -> dict[str, Path]:
    """Where each data set lies that is asked for.

    Raises:
        UserError: Nothing lies there.
    """
    root = None if wish.profile else data_root(wish.data)
    names = [wish.name] if wish.name else DATASETS.names()
    if root is not None:
        places = {name: root / base_of(name) for name in names}
    else:
        places = _worlds(wish, names)
    here = {name: place for name, place in places.items() if place.is_dir()}
    if here:
        return here
    if root is not None:
        how = f"Give --data DIR or set {VARIABLE}: one folder per data set, such as DIR/nuscenes."
        raise UserError(root, f"There is nothing of {wish.name or 'any data set'} here.", how)
    profile = wish.profile or WORLD
    raise UserError(
        store_folder(wish.store),
        f"No data root is given, and the world of the profile {profile} is not here.",
        f"Give --data DIR or set {VARIABLE}, or render the world: "
        f"lima-bench prepare table2 --profile {profile}.",
    )


def _worlds(wish: Wish, names: Collection[str]) -> dict[str, Path]:
    """Where runs of the profile put the world, by data set; they need not have done so.

    Raises:
        UserError: There is no such world, or it is not written as what is asked for.
    """
    identity = world_identity(Data(world=wish.profile or WORLD))
    store = Store.open(store_folder(wish.store), write=False)
    parts = identity.world or {}
    if wish.name and base_of(wish.name) not in parts:
        where = f"lima-bench list labels {wish.name}"
        raise unknown_name(where, "data set of the world", wish.name, parts)
    found = {}
    for name in names:
        base = base_of(name)
        if base in parts:
            config = {"dataset": base, "spec": parts[base]}
            key = Job("world", identity.world_version, config).key
            found[name] = store.artifact(key) / base
    return found

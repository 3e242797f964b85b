"""Finds out which data a profile means: the settings of its world, or what lies below a root.

Offers `identify`, `with_masks` and `data_root`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import digest, file_digest
from lima_bench.datasets.api import DATASETS, base_of, open_dataset
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.share_lists import folder_of
from lima_bench.suites.chain import Identity
from lima_bench.suites.drafts import merged
from lima_bench.suites.profile_schema import Data, Profile
from lima_bench.suites.schema import Suite

VARIABLE = "LIMA_BENCH_DATA"
"""The environment variable that names the data root."""


def data_root(given: Path | None) -> Path | None:
    """The folder with one folder per data set: as given, or the environment's."""
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def identify(
    suite: Suite,
    profile: Profile,
    root: Path | None,
    *,
    needed: bool,
    remembered: Callable[[], Mapping[str, str]] = dict,
) -> Identity:
    """The data of a suite in a profile.

    Args:
        suite: Names the data sets.
        profile: Says whether a world is rendered.
        root: The data root.
        needed: Whether there must be data, as for a run; a plan or a table can do without.
        remembered: Data-set id to the manifest that the store's records name, asked for when no
            root is given: a table can be shown where its data does not lie.

    Raises:
        UserError: Needed data is not there.
    """
    if profile.data.world is not None:
        return _with_own_files(world_identity(profile.data), suite, root)
    if root is None:
        if not needed:
            guesses = {name: "unknown" for name in _datasets(suite) if base_of(name) in DATASETS}
            return Identity(manifests={**guesses, **remembered()}, provisional=True)
        what = f"The profile {profile.name} reads real recordings, and no data root is given."
        how = f"Give --data DIR or set {VARIABLE}: one folder per data set, such as DIR/nuscenes."
        raise UserError("--data", what, how)
    if not root.is_dir():
        raise _no_root(root)
    names = [name for name in _datasets(suite) if base_of(name) in DATASETS]
    manifests = _manifests(names, root)
    if needed and names and not manifests:
        wanted = ", ".join(dict.fromkeys(str(root / base_of(name)) for name in names))
        raise UserError(root, "No data set of the suite lies here.", f"Expected: {wanted}.")
    return Identity(manifests=manifests)


def with_masks(
    identity: Identity,
    folders: Iterable[str],
    root: Path | None,
    remembered: Callable[[], Mapping[str, str]] = dict,
) -> Identity:
    """The data, and those folders of masks that lie beside it.

    Args:
        identity: The data.
        folders: Relative to the data root, that rows read.
        root: The data root.
        remembered: Folder to the digest that the store's records name, where no root is given.
    """
    wanted = sorted(set(folders))
    if not wanted:
        return identity
    if root is None:
        known = remembered()
        guess = "unknown" if identity.provisional else None
        found = {name: digest for name in wanted if (digest := known.get(name, guess))}
        return replace(identity, masks=found)
    here = [name for name in wanted if (root / name).is_dir()]
    digests = {n: manifest_digest(root / n, contents=(), sizes=(root / n,)) for n in here}
    return replace(identity, masks=digests)


def _with_own_files(world: Identity, suite: Suite, root: Path | None) -> Identity:
    """A world, and beside it the files of data sets that it is not written as: a user's own.

    Raises:
        UserError: The suite names such a data set, and the data root does not exist.
    """
    names = [name for name in _datasets(suite) if base_of(name) not in (world.world or {})]
    if not names or root is None:
        return world
    if not root.is_dir():
        raise _no_root(root)
    return replace(world, manifests=_manifests(names, root))


def _no_root(root: Path) -> UserError:
    how = f"Give --data DIR or set {VARIABLE} to the folder that holds the data sets."
    return UserError(root, "There is no such folder.", how)


def _manifests(names: Iterable[str], root: Path) -> dict[str, str]:
    """The digests of those data sets that are read here and lie below `root`."""
    here = [n for n in names if base_of(n) in DATASETS and (root / base_of(n)).is_dir()]
    return {name: _manifest(name, root / base_of(name)) for name in here}


def _manifest(name: str, folder: Path) -> str:
    """The digest of the files, and of the lists of labelled frames that lie beside them."""
    own = open_dataset(name).manifest(folder)
    lists = sorted(folder_of(folder).rglob("*.txt"))
    if not lists:
        return own
    return digest([own, {p.relative_to(folder).as_posix(): file_digest(p) for p in lists}])


def world_identity(data: Data) -> Identity:
    """The settings of a world that `load` has checked."""
    from lima_bench.datasets.world.spec import SETS, VERSION, WorldSpec, named_spec

    settings = merged(named_spec(str(data.world)).model_dump(mode="json"), data.settings)
    spec = WorldSpec.model_validate(settings)
    return Identity(world={name: spec.part(name) for name in SETS}, world_version=VERSION)


def _datasets(suite: Suite) -> Iterable[str]:
    taught = [suite.defaults.pretrain_on, *(row.pretrain_on for row in suite.rows)]
    names = [name for several in taught for name in several or ()]
    asked = [name for column in suite.columns for name in (column.on, column.corrupted) if name]
    return dict.fromkeys([*names, *asked])

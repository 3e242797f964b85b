"""What every verb begins with: plug-ins, names, files, data and store, opened in that order.

Offers `Request` (what the command line said), `Session`, `open_session` and `Session.plan`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.results.store import Store
from lima_bench.suites.adopted import read_adopted
from lima_bench.suites.chain import Identity
from lima_bench.suites.code import CodeKeys, read_code
from lima_bench.suites.costs import Costs
from lima_bench.suites.expand import Expansion, expand, mask_folders
from lima_bench.suites.identity import data_root, identify, with_masks
from lima_bench.suites.known import Known, gather
from lima_bench.suites.load import Loaded, load
from lima_bench.suites.plan import Plan, make_plan

VARIABLE = "LIMA_BENCH_STORE"
"""The environment variable that names the store."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
        suite: A name or a path.
        profile: A name or a path.
        only: Glob of rows, or several with commas.
        columns: Glob of columns, likewise.
        seeds: In place of the suite's.
        store: The store's folder; None: the environment's, else ``runs``.
        data: The data root; None: the environment's.
        sets: Every ``--set``.
        plugs: Every ``--plug``.
    """

    suite: str
    profile: str = "embedded"
    only: str = "*"
    columns: str = "*"
    seeds: tuple[int, ...] | None = None
    store: Path | None = None
    data: Path | None = None
    sets: tuple[str, ...] = ()
    plugs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Session:
    """Everything that was found.

    Attributes:
        request: What was asked for.
        known: What exists.
        loaded: The suite in its profile.
        identity: Which data.
        expansion: Rows, columns and jobs.
        store: Where results are.
        code: Today's code.
        data: The data root, None if none was given.
    """

    request: Request
    known: Known
    loaded: Loaded
    identity: Identity
    expansion: Expansion
    store: Store
    code: CodeKeys
    data: Path | None

    def plan(
        self,
        *,
        accept_stale: bool = False,
        targets: Collection[str] | None = None,
        with_costs: bool = False,
    ) -> Plan:
        """Compare with the store as it is now.

        Args:
            accept_stale: Let records of other code count.
            targets: Stages to be done; None: what the cells ask for.
            with_costs: Read every record of the store to estimate costs.

        Raises:
            UserError: A record is damaged.
        """
        jobs = self.expansion.jobs
        found = {key: self.store.get(job.stage, key) for key, job in jobs.items()}
        records = {key: record for key, record in found.items() if record is not None}
        return make_plan(
            self.expansion,
            records,
            self.code,
            present={key for key in jobs if self.store.artifact(key).is_dir()},
            costs=Costs.learn(self.store.records()) if with_costs else None,
            accept_stale=accept_stale,
            targets=targets,
        )


def open_session(request: Request, *, write: bool, need_data: bool = False) -> Session:
    """Read everything that `request` names.

    Args:
        request: What was asked for.
        write: Whether results will be added to the store.
        need_data: Whether real recordings must lie there.

    Raises:
        UserError: Anything that the user can mend, with its place.
    """
    load_plugs(request.plugs)
    known = replace(gather(), adopted=read_adopted(store_folder(request.store)))
    loaded = load(request.suite, request.profile, known, request.sets)
    root = data_root(request.data)
    store = Store.open(store_folder(request.store), write=write)
    identity = identify(
        loaded.suite,
        loaded.profile,
        root,
        needed=need_data,
        remembered=lambda: _manifests(store),
    )
    folders = mask_folders(loaded, known, identity)
    identity = with_masks(identity, folders, root, lambda: _mask_digests(store))
    expansion = expand(
        loaded,
        known,
        identity,
        only=request.only,
        columns=request.columns,
        seeds=request.seeds,
    )
    return Session(
        request=request,
        known=known,
        loaded=loaded,
        identity=identity,
        expansion=expansion,
        store=store,
        code=CodeKeys(read_code(), known.foreign),
        data=root.resolve() if root else None,
    )


def _manifests(store: Store) -> dict[str, str]:
    """Data-set id to the manifest of the newest record that read its files."""
    newest: dict[str, tuple[str, str]] = {}
    for record in store.records():
        data = record.config.get("data", [])
        for part in [data] if isinstance(data, Mapping) else data:
            if "manifest" in part:
                made = (str(record.measured.get("started", "")), str(part["manifest"]))
                newest[part["dataset"]] = max(made, newest.get(part["dataset"], made))
    return {name: manifest for name, (_, manifest) in newest.items()}


def _mask_digests(store: Store) -> dict[str, str]:
    """Folder of masks to the digest in the newest record that read it."""
    newest: dict[str, tuple[str, str]] = {}
    for record in store.records():
        if path := record.details.get("masks"):
            made = (str(record.measured.get("started", "")), str(record.config["files"]))
            newest[path] = max(made, newest.get(path, made))
    return {path: found for path, (_, found) in newest.items()}


def store_folder(given: Path | None) -> Path:
    """The store's folder: as given, the environment's, or ``runs`` here."""
    return (given or Path(os.environ.get(VARIABLE) or "runs")).absolute()


def load_plugs(files: Collection[Path]) -> None:
    """Import plug-in files, and those that installed packages bring; without any, nothing heavy.

    Raises:
        UserError: One of them cannot be imported.
    """
    if not files and not entry_points(group="lima_bench.methods"):
        return
    from lima_bench.lima.api import load_installed_plugins, load_plugin

    load_installed_plugins()
    for file in files:
        load_plugin(file)


def seeds_of(text: str | None) -> tuple[int, ...] | None:
    """``0,1,2`` as numbers.

    Raises:
        UserError: It is something else.
    """
    if text is None:
        return None
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0:
        what = "Seeds are whole numbers from 0, with commas between."
        raise UserError(f"--seeds {text}", what, "--seeds 0,1,2")
    return seeds

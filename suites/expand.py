"""Suite and profile -> rows, columns, cells -> jobs with content addresses. Pure.

Offers `expand` and its result `Expansion` of `TaughtRow`, `AskedColumn` and `CellPlan`; `Identity`
says which data it is about, `mask_folders` which folders of masks. Equal work has an equal key, so
rows, cells and suites share jobs.

What enters a key: the stage; the versions of method, reader and task; every resolved setting; the
seed; the keys of the inputs. The labels that a run may use are named by share and convention beside
the data's identity, which together fix the list: a rendered world by its own key (same settings,
same files), files on disk by their manifest's digest. What cannot change a number, or should not
(worker counts, device, folders, precision, how often state is saved), stays out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeVar

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.chain import Chain, Identity
from lima_bench.suites.job import Job
from lima_bench.suites.known import Known
from lima_bench.suites.load import Loaded
from lima_bench.suites.obstacles import cell_obstacle, column_obstacle, row_obstacle
from lima_bench.suites.schema import Column, Row

Entry = TypeVar("Entry", Row, Column)


@dataclass(frozen=True)
class TaughtRow:
    """A row with everything decided.

    Attributes:
        row: As written.
        title: As printed.
        teacher: Its id, empty for methods without one.
        student: The backbone's id; with a detector ``backbone+detector``.
        frames: How many frames the method sees; None where that means nothing.
        pretrain: Seed to the key of its pretraining; empty when `missing`.
        missing: Why the row cannot be run, empty if it can.
        assumed: Whether a recipe of the row holds values that no source states.
        adopted: Where its weights come from, if they were taught elsewhere.
        guest: The suite does not name it: it is there because its checkpoint lies in the store.
    """

    row: Row
    title: str
    teacher: str
    student: str
    frames: int | None
    pretrain: Mapping[int, str]
    missing: str = ""
    assumed: bool = False
    adopted: str = ""
    guest: bool = False


@dataclass(frozen=True)
class CellPlan:
    """One row, one column.

    Attributes:
        row: Row id.
        column: Column id.
        jobs: Seed to the key of the job whose record holds the score.
        missing: Why it cannot be run, empty if it can.
    """

    row: str
    column: str
    jobs: Mapping[int, str] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Expansion:
    """Everything that a suite in a profile asks for.

    Attributes:
        loaded: The suite and profile.
        seeds: In order.
        rows: Of the profile's variant, in order.
        columns: Likewise.
        cells: Row by row.
        jobs: Key to job, inputs before what reads them.
        provisional: Keys rest on data that was not looked at.
    """

    loaded: Loaded
    seeds: tuple[int, ...]
    rows: tuple[TaughtRow, ...]
    columns: tuple[Column, ...]
    cells: tuple[CellPlan, ...]
    jobs: Mapping[str, Job]
    provisional: bool = False

    def upstream(self, keys: Iterable[str]) -> dict[str, Job]:
        """These jobs and all that they need, inputs first."""
        wanted = set(keys)
        for key in reversed(list(self.jobs)):  # an input stands before its readers
            if key in wanted:
                wanted.update(self.jobs[key].inputs.values())
        return {key: job for key, job in self.jobs.items() if key in wanted}


def expand(
    loaded: Loaded,
    known: Known,
    identity: Identity,
    *,
    only: str = "*",
    columns: str = "*",
    seeds: Sequence[int] | None = None,
) -> Expansion:
    """Every cell of the profile's variant, and the jobs behind them.

    Args:
        loaded: The suite in its profile.
        known: What exists and what is built.
        identity: Which data.
        only: Glob, or several with commas, of row ids to keep.
        columns: Likewise of column ids.
        seeds: In place of the suite's and the profile's.

    Raises:
        UserError: A glob fits nothing, the suite has no row for this variant, or one of its rows
            has the name of an adopted checkpoint.
    """
    suite, profile = loaded.suite, loaded.profile
    chosen_seeds = tuple(seeds or suite.defaults.seeds or profile.seeds)
    everyone = (*suite.rows, *_guests(loaded, known))
    rows = _chosen(everyone, profile.variant, only, "row", "--only")
    chosen = _chosen(suite.columns, profile.variant, columns, "column", "--columns")
    chain = Chain(loaded, known, identity)
    hosts = {row.id for row in suite.rows}
    taught = tuple(_teach(chain, r, chosen_seeds, guest=r.id not in hosts) for r in rows)
    cells = tuple(_cell(chain, row, column, chosen_seeds) for row in taught for column in chosen)
    return Expansion(
        loaded,
        chosen_seeds,
        taught,
        tuple(chosen),
        cells,
        dict(chain.jobs),
        identity.provisional,
    )


def mask_folders(loaded: Loaded, known: Known, identity: Identity) -> set[str]:
    """The folders of masks that rows of the profile's variant read, relative to the data root."""
    chain = Chain(loaded, known, identity)
    rows = [r for r in loaded.suite.rows if r.variant in (None, loaded.profile.variant)]
    taught = (row for row in rows if known.card_of(row).is_built and not row.adopted)
    return {found.folder for row in taught if (found := chain.segmentation(row)) and found.folder}


def _guests(loaded: Loaded, known: Known) -> list[Row]:
    """A row for every adopted checkpoint that the suite does not name itself.

    Raises:
        UserError: The suite gives the name of such a row to another one.
    """
    named = {row.adopted for row in loaded.suite.rows}
    taken = {row.id for row in loaded.suite.rows}
    # A suite of detectors asks each of them of an outside checkpoint.
    detectors = sorted({row.detector for row in loaded.suite.rows if row.detector})
    guests = [
        Row(id="-".join(filter(None, (name, detector))), adopted=name, detector=detector)
        for name in known.adopted
        if name not in named
        for detector in detectors or (None,)
    ]
    for guest in guests:
        if guest.id in taken:
            beside = f" with its detector {guest.detector}" if guest.detector else ""
            what = (
                f"The suite has a row {guest.id}, and so is an adopted checkpoint of the store "
                f"called{beside}."
            )
            how = f"Rename the row, or let it be that one: adopted: {guest.adopted}"
            raise UserError(f"suite {loaded.suite.name}", what, how)
    return guests


def _chosen(
    entries: Sequence[Entry], variant: str, globs: str, kind: str, option: str
) -> list[Entry]:
    here = [entry for entry in entries if entry.variant in (None, variant)]
    if not here:
        what = f'The suite has no {kind} of the variant "{variant}".'
        raise UserError(f"profile: variant {variant}", what, "Choose another --profile.")
    patterns = [glob.strip() for glob in globs.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(entry.id, pattern) for entry in here):
            names = [entry.id for entry in here]
            raise unknown_name(f"{option} {pattern}", kind, pattern, names)
    return [e for e in here if any(fnmatchcase(e.id, pattern) for pattern in patterns)]


def _teach(chain: Chain, row: Row, seeds: Sequence[int], *, guest: bool) -> TaughtRow:
    method, found = chain.known.card_of(row), chain.known.adopted.get(row.adopted or "")
    missing = row_obstacle(chain, row)
    keys = {} if missing else {seed: chain.pretrain(row, seed) for seed in seeds}
    title = row.title or (method.title if row.method else row.id)
    return TaughtRow(
        row=row,
        title=title,
        teacher=chain.teacher(row),
        student=_student_name(chain, row),
        frames=chain.frames(row),
        pretrain=keys,
        missing=missing,
        assumed=chain.assumed(row),
        adopted=found.origin if found else "",
        guest=guest,
    )


def _student_name(chain: Chain, row: Row) -> str:
    """The backbone; where boxes are found with it, the whole detector, as papers write it."""
    return "+".join(filter(None, (chain.student(row)["backbone"], chain.detector(row))))


def _cell(chain: Chain, taught: TaughtRow, column: Column, seeds: Sequence[int]) -> CellPlan:
    row = taught.row
    missing = taught.missing or column_obstacle(chain, column) or cell_obstacle(chain, row, column)
    if missing:
        return CellPlan(row.id, column.id, missing=missing)
    if column.measure is not None:
        if reason := _costless(chain, row):
            return CellPlan(row.id, column.id, missing=reason)
        return CellPlan(row.id, column.id, jobs=taught.pretrain)
    jobs = {seed: chain.ask(row, column, taught.pretrain[seed], seed) for seed in seeds}
    return CellPlan(row.id, column.id, jobs=jobs)


def _costless(chain: Chain, row: Row) -> str:
    """Why pretraining the row has no cost to show; empty if it has one."""
    if row.adopted:
        return "adopted: what its teaching took was not measured here"
    return "" if chain.known.card_of(row).learns else "nothing is taught: no cost"

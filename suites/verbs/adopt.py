"""``lima-bench adopt``: an outside checkpoint becomes a row of every suite that uses the store."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling, write_atomic
from lima_bench.common.locks import locked
from lima_bench.lima.recipes import StudentSettings
from lima_bench.results.store import Store
from lima_bench.suites.adopted import (
    CHECKPOINT,
    FACTS,
    FORMAT,
    AdoptedFile,
    Source,
    StudentRecipe,
    folder_of,
    read_adopted,
)
from lima_bench.suites.drafts import Draft, combined
from lima_bench.suites.known import ADOPTED, Known, gather
from lima_bench.suites.load import builtin, find
from lima_bench.suites.recipe import Recipe, read_recipe
from lima_bench.suites.session import store_folder
from lima_bench.suites.yaml_lines import read_document

if TYPE_CHECKING:
    from lima_bench.lima.adopt.adopt import Adopted

STUDENTS = {
    "slidr": "slidr-student",
    "slidr-spconv-zyx": "slidr-student",
    "slidr-spconv-xyz": "slidr-student",
    "tricc": "slidr-student",
    "hvdistill": "hvdistill-student",
    "superflow": "paper-student",
    "mmdet3d-torchsparse": "mmdet3d-student",
    "mmdet3d-minkowski": "mmdet3d-student",
    "mmdet3d-spconv": "mmdet3d-student",
    "openpcdet": "voxelnet-student",
    "mmdet3d-voxelnet": "voxelnet-student",
    "mmdet3d-voxelnet-residual": "voxelnet-student",
}
"""Layout to the recipe by which its networks were fed."""

_CYLINDRICAL, _CARTESIAN = "slidr-student", "hvdistill-student"
"""Of the same network; the settings in a file tell."""
_NAME = re.compile(r"[^\s.*?\[\]/,\\-][^\s.*?\[\]/,\\]*")
"""As ids of rows, without what lists of globs and folders need."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for.

    Attributes:
        weights: The file.
        name: Of the row.
        layout: Of its tensors, or ``auto``.
        student: A student recipe (a name or a path) in place of the layout's.
        store: The store's folder; None: the environment's, else ``runs``.
    """

    weights: Path
    name: str
    layout: str = "auto"
    student: str | None = None
    store: Path | None = None


def adopt(wish: Wish) -> int:
    """Adopt a checkpoint and say what of it was used; returns the exit code.

    Raises:
        UserError: The name is taken or no name, or the file cannot be adopted; nothing was written.
    """
    from lima_bench.lima.adopt.adopt import adopt as read

    root = store_folder(wish.store)
    _must_be_a_name(wish.name)
    _must_be_free(wish.name, gather())
    found = read(wish.weights, wish.layout)
    recipe = _student(wish, found)
    file = _facts(wish, found, recipe)
    store = Store.open(root)
    with locked(store.root / "locks" / "adopted.lock", wait=True):
        before = read_adopted(root).get(wish.name)
        if before is None:
            _write(root, wish.name, found, file)
        elif not _same(before.file, file):
            what = f"{wish.name} is another checkpoint of this store: {before.origin}."
            how = f"Choose another name, or delete {before.checkpoint.parent} first."
            raise UserError(f"--as {wish.name}", what, how)
    for line in _told(wish.name, found, file, again=before is not None):
        typer.echo(line)
    return 0


def _must_be_a_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        what = "A row cannot have this name."
        how = "Use letters, digits, - and _; no spaces, dots, commas, slashes and globs."
        raise UserError(f"--as {name}", what, how)


def _must_be_free(name: str, known: Known) -> None:
    """Refuse names that mean something else in some suite.

    Raises:
        UserError: A method or a row of a built-in suite has it.
    """
    how = "Choose another name, such as that of the file's authors and year."
    if name in known.methods or name == ADOPTED.name:
        raise UserError(f"--as {name}", "A method has this name.", how)
    for suite, path in builtin("suite").items():
        rows = Draft.of_suite(read_document(path)).data.get("rows") or []
        if any(row.get("id") == name for row in rows):
            raise UserError(f"--as {name}", f"The suite {suite} has a row of this name.", how)


def _student(wish: Wish, found: Adopted) -> StudentRecipe:
    """How the network is to be fed: as asked for, as it says itself, or as its layout's authors do.

    Raises:
        UserError: The recipe feeds another number of channels, or is none for a student.
    """
    if wish.student is not None:
        kept = _kept(_recipe(wish.student, "--student"))
    elif found.student is not None:
        kept = _recipe_like(found.student)
    else:
        name = STUDENTS.get(found.layout)
        if found.cartesian and name == _CYLINDRICAL:
            name = _CARTESIAN
        if name is None:
            what = f"Nothing says how a network of the layout {found.layout} is fed."
            raise UserError(wish.weights, what, "--student RECIPE   (lima-bench list recipes)")
        kept = _kept(_recipe(name, "--student"))
    fed = StudentSettings.model_validate(kept.settings).inputs.channels
    if len(fed) != found.in_channels:
        what = (
            f"The network takes {found.in_channels} channels a voxel; the student recipe "
            f"{kept.name} feeds it {len(fed)}: {', '.join(fed)}."
        )
        how = "Name a recipe that feeds what it was taught with: --student RECIPE."
        raise UserError(wish.weights, what, how)
    return kept


def _recipe(name: str, where: str) -> Recipe:
    draft = Draft.of(read_document(find("recipe", name, where=f"{where} {name}")))
    recipe = read_recipe(draft)
    if recipe is None:
        raise combined(draft.errors)
    if recipe.kind != "student":
        what = f"This recipe is for {recipe.kind}, not for a student."
        raise UserError(f"{where} {name}", what, "lima-bench list recipes")
    return recipe


def _kept(recipe: Recipe) -> StudentRecipe:
    return StudentRecipe(
        name=recipe.name,
        settings=dict(recipe.settings),
        when=recipe.rules,
        assumed=tuple(sorted(recipe.assumed)),
    )


def _recipe_like(settings: Mapping[str, Any]) -> StudentRecipe:
    """The built-in recipe with these settings, for its rules on other data sets; else these alone.

    A checkpoint of ours tells how its student was fed where it was taught, and nothing of others.
    """
    for name in builtin("recipe"):
        recipe = read_recipe(Draft.of(read_document(find("recipe", name))))
        if recipe is not None and recipe.kind == "student":
            changes = {"backbone": settings["backbone"]}
            if recipe.resolved(changes=changes) == settings:
                return _kept(recipe)
    return StudentRecipe(name="its own", settings=dict(settings))


def _facts(wish: Wish, found: Adopted, student: StudentRecipe) -> AdoptedFile:
    return AdoptedFile(
        format=FORMAT,
        layout=found.layout,
        backbone=found.backbone,
        digest=found.digest,
        source=Source(file=wish.weights.name, sha256=found.sha256),
        student=student,
        used=dict(found.used),
        skipped=dict(found.skipped),
        absent=found.absent,
    )


def _same(before: AdoptedFile, now: AdoptedFile) -> bool:
    """Whether the same bytes were adopted in the same way, wherever the file lay."""
    return before.model_copy(update={"source": now.source}) == now and (
        before.source.sha256 == now.source.sha256
    )


def _write(root: Path, name: str, found: Adopted, file: AdoptedFile) -> None:
    """Weights and facts, both or neither."""
    from lima_bench.lima.adopt.adopt import write_adopted

    meta = {
        "student": StudentSettings.model_validate(
            {**file.student.settings, "backbone": file.backbone}
        ).model_dump(mode="json"),
        "layout": file.layout,
        "source": file.source.model_dump(),
    }
    folder = folder_of(root, name)
    if folder.exists():
        what = f"This folder is in the way, and holds no {FACTS}."
        raise UserError(folder, what, "Delete it, and adopt the file again.")
    with filling(folder) as draft:
        write_adopted(found, draft / CHECKPOINT, meta)
        text = json.dumps(file.model_dump(mode="json"), indent=1, sort_keys=True)
        write_atomic(draft / FACTS, f"{text}\n")


def _told(name: str, found: Adopted, file: AdoptedFile, *, again: bool) -> Iterator[str]:
    """What a user should know: which network, what of the file was used, how it is fed."""
    n_values = sum(tensor.numel() for tensor in found.state.values())
    yield f"{file.source.file}: layout {found.layout}, network {found.backbone}"
    yield f"  used      {len(found.used)} tensors, {n_values:,} values"
    for (part, reason), n in _parts(found.skipped).items():
        yield f"  skipped   {part} ({n}): {reason}"
    if found.absent:
        yield f"  missing   {len(found.absent)} counters of batches, which nothing reads"
    yield f"  fed       as in {file.student.name}: {_fed(file.student)}"
    if again:
        yield f"{name} is this checkpoint already; nothing was written."
    else:
        yield f"Adopted as {name}. Every suite on this store has this row now:"
    yield f"  lima-bench run table1 --only {name}"


def _parts(skipped: Mapping[str, str]) -> Counter[tuple[str, str]]:
    """How many tensors of each part of the file were skipped for one reason."""
    from lima_bench.lima.adopt.release import WRAPPERS

    def part(name: str) -> str:
        words = name.split(".")
        wrappers = list(takewhile(WRAPPERS.__contains__, words))
        return ".".join([*words[: len(wrappers) + 1], "*"])

    return Counter((part(name), reason) for name, reason in skipped.items())


def _fed(student: StudentRecipe) -> str:
    settings = StudentSettings.model_validate(student.settings)
    grid, inputs = settings.voxels, settings.inputs
    size = " x ".join(f"{edge:g}" for edge in grid.size)
    channels = ", ".join(inputs.channels)
    return f"{grid.kind} voxels {size}, {grid.rounding}, {channels} ({inputs.intensity} intensity)"

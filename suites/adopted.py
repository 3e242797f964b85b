"""Outside checkpoints that lie in a store: every suite that uses the store has a row for each.

Offers `AdoptedFile` (what ``<store>/adopted/NAME/adopted.json`` holds), `AdoptedCheckpoint`,
`read_adopted`, `folder_of` and `CHECKPOINT`. Light: weights are not opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lima_bench.common.errors import UserError
from lima_bench.suites.profile_schema import Rule
from lima_bench.suites.recipe import Recipe

FORMAT = 1
"""Number of ``adopted.json``; raise it when its keys change."""

CHECKPOINT = "checkpoint.safetensors"
FACTS = "adopted.json"


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Block):
    """The file that the weights came from: its name (no folder) and the SHA-256 of its bytes."""

    file: str
    sha256: str


class StudentRecipe(_Block):
    """How the network is fed, whole: the store must not depend on where a recipe file lies."""

    name: str
    settings: dict[str, Any]
    when: tuple[Rule, ...] = ()
    assumed: tuple[str, ...] = ()


class AdoptedFile(_Block):
    """Everything that is known of an adopted checkpoint.

    Attributes:
        format: See `FORMAT`.
        layout: In which its tensors were kept.
        backbone: The network's id.
        digest: Of the weights, as `lima_bench.lima.checkpoint.weights_digest` gives it.
        source: The file.
        student: How the network is fed.
        used: Our tensors to theirs.
        skipped: Their tensors to the reason why they were left out.
        absent: Our tensors that the file lacks and that do no harm.
    """

    format: int
    layout: str
    backbone: str
    digest: str
    source: Source
    student: StudentRecipe
    used: dict[str, str] = {}
    skipped: dict[str, str] = {}
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdoptedCheckpoint:
    """One of a store.

    Attributes:
        name: Of the row.
        file: What is known of it.
        checkpoint: The weights.
    """

    name: str
    file: AdoptedFile
    checkpoint: Path

    @property
    def student(self) -> Recipe:
        """How the network is fed, with rules for the data sets that differ."""
        kept = self.file.student
        return Recipe(kept.name, "student", kept.settings, kept.when, frozenset(kept.assumed))

    @property
    def origin(self) -> str:
        """File, layout and digest in a few words."""
        made = self.file
        return f"{made.source.file} (layout {made.layout}, SHA-256 {made.source.sha256[:12]})"


def folder_of(store: Path, name: str) -> Path:
    """Where the checkpoint of that name lies or will lie."""
    return store / "adopted" / name


def read_adopted(store: Path) -> dict[str, AdoptedCheckpoint]:
    """Every adopted checkpoint of a store by name; none where there is no store.

    Raises:
        UserError: An entry is damaged, or was written by a newer version.
    """
    found = {}
    for path in sorted((store / "adopted").glob(f"*/{FACTS}")):
        if not path.parent.name.startswith("."):  # a draft that was left by a crash
            found[path.parent.name] = _read(path)
    return found


def _read(path: Path) -> AdoptedCheckpoint:
    remedy = (
        f"Delete the folder and adopt the file again: lima-bench adopt FILE --as {path.parent.name}"
    )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        number = data.get("format") if isinstance(data, dict) else None
        if isinstance(number, int) and number > FORMAT:
            what = f"It has format {number}, this version reads up to {FORMAT}."
            raise UserError(path, what, "Update lima-bench.")
        file = AdoptedFile.model_validate(data)
    except (ValueError, ValidationError) as error:
        raise UserError(path, "This entry of the store is damaged.", remedy) from error
    checkpoint = path.with_name(CHECKPOINT)
    if not checkpoint.is_file():
        raise UserError(path.parent, f"There is no {CHECKPOINT} in this entry.", remedy)
    return AdoptedCheckpoint(path.parent.name, file, checkpoint)

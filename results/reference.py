"""Published numbers: one printed value per line, with its source, and the cells they belong to.

Offers `Published`, `read_published`, `references` (the published number of each cell) and
`plain` (the spelling-free form in which ids and printed names are compared).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.results.build import CellId, Reference
from lima_bench.results.table import ColumnMeta, RowMeta

PAPERS = Path(__file__).parent / "paper"
_DEFAULT_SOURCE = {"lima2025": "LiMA (ICCV 2025)"}
_MEASURES = {
    # How the table of costs prints in one line what others print in five.
    "hours": ("", "", "hours"),
    "memory_gb": ("", "", "memory_gb"),
    "nuscenes_lp": ("nuscenes", "LP", "miou"),
    "nuscenes_1pct": ("nuscenes", "1%", "miou"),
    "semantickitti_1pct": ("semantickitti", "1%", "miou"),
}
_OURS = {
    # Papers run the teacher inside every step: what they print counts in what we do once and share.
    "wall_hours_with_shared": "hours",
    "wall_hours": "hours",
    "peak_memory_gb": "memory_gb",
}
"""Our measure to the published one that it is set beside."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One printed number; what its source does not state is empty.

    Attributes:
        method: As printed.
        teacher: As printed.
        student: As printed; for detection the detector.
        frames: How many the method sees.
        dataset: Data-set id.
        setting: ``LP``, ``1%``, ...
        metric: ``miou``, ``map``, ``nds``, ``mce``, ``mrr``, ``hours``, ``memory_gb``.
        value: Percent unless the metric says otherwise.
        source: Who prints it.
        note: What to know before comparing.
    """

    method: str
    teacher: str = ""
    student: str = ""
    frames: int | None = None
    dataset: str = ""
    setting: str = ""
    metric: str = "miou"
    value: float
    source: str = ""
    note: str = ""


def plain(name: str) -> str:
    """`name` without case and punctuation: ``ViT-S`` and ``vit_s`` are one teacher."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def read_published(table: str, key: str = "lima2025") -> tuple[Published, ...]:
    """Every number of one published table, in the order of the file.

    Raises:
        UserError: Nothing of that name is stored; the message lists what is.
    """
    path = PAPERS / key / f"{table}.csv"
    if not path.is_file():
        known = (f.stem for f in (PAPERS / key).glob("*.csv") if f.stem != "orderings")
        raise unknown_name(f"published numbers of {key}", "table", table, known)
    source = _DEFAULT_SOURCE.get(key, key)
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        return tuple(number for line in lines for number in _numbers(line, source))


def references(
    published: Sequence[Published],
    rows: Sequence[RowMeta],
    columns: Sequence[ColumnMeta],
    *,
    source: str = "",
) -> dict[CellId, Reference]:
    """The published number of every cell that has one.

    Names are compared by `plain`, so ids and titles both do. A teacher, student or number of frames
    that the source does not state fits any.

    Args:
        published: From `read_published`.
        rows: Of the table.
        columns: Of the table.
        source: Use only numbers whose source contains this, where several disagree.

    Raises:
        UserError: Several numbers fit one cell.
    """
    chosen = [number for number in published if source in number.source]
    found: dict[CellId, Reference] = {}
    for row in rows:
        mine = [number for number in chosen if _fits_row(number, row)]
        for column in columns:
            if number := _one([n for n in mine if _fits_column(n, column)], row, column):
                found[row.id, column.id] = Reference(
                    value=number.value, source=number.source, note=number.note
                )
    return found


def _numbers(line: Mapping[str, str], source: str) -> Iterator[Published]:
    common = {
        "method": line["method"],
        "teacher": line.get("teacher", ""),
        "student": line.get("student") or line.get("detector", ""),
        "source": line.get("source") or source,
        "note": line.get("note", ""),
    }
    frames = int(line["frames"]) if line.get("frames") else None
    if "value" in line:
        at = {name: line[name] for name in ("dataset", "setting", "metric")}
        yield Published(**common, **at, frames=frames, value=float(line["value"]))
        return
    for measure, (dataset, setting, metric) in _MEASURES.items():
        at = {"dataset": dataset, "setting": setting, "metric": metric}
        yield Published(**common, **at, frames=frames, value=float(line[measure]))


def _fits_row(number: Published, row: RowMeta) -> bool:
    return (
        plain(number.method) == plain(row.method)
        and plain(number.teacher) in ("", plain(row.teacher))
        and plain(number.student) in ("", plain(row.student))
        and number.frames in (None, row.frames)
    )


def _fits_column(number: Published, column: ColumnMeta) -> bool:
    metric = _OURS.get(column.metric, column.metric)
    ours = (plain(column.dataset), column.setting, plain(metric))
    return (plain(number.dataset), number.setting, plain(number.metric)) == ours


def _one(fitting: Sequence[Published], row: RowMeta, column: ColumnMeta) -> Published | None:
    if len({number.value for number in fitting}) > 1:
        said = ", ".join(f"{number.value} ({number.source})" for number in fitting)
        raise UserError(
            f"published number of row {row.id}, column {column.id}",
            f"Several are stored: {said}.",
            "Say in the suite which source it compares with, or state teacher, student and frames.",
        )
    return fitting[0] if fitting else None

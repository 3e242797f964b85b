"""An examination as text for a person and as JSON for programs.

Offers `to_terminal` (for a `rich` console) and `to_json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Float64
from lima_bench.suites.examine.examine import Examination, SplitReport
from lima_bench.suites.examine.extent import ROLES, Folder
from lima_bench.suites.examine.findings import Finding

SCHEMA = 1
"""Raise it when an entry of the JSON changes its meaning."""

_SIGNS = {"fault": ("✗", "red"), "warning": ("!", "yellow")}
NOTHING = "·"
MOST_SPLITS, MOST_CONDITIONS = 6, 6


def to_terminal(found: Examination) -> RenderableType:
    """Everything that was found, the findings last."""
    card = found.reader.card
    looked = {name: split for name, split in found.splits.items() if split.tally.n_loaded}
    labelled = {name: split for name, split in looked.items() if split.tally.n_labelled}
    parts: list[RenderableType] = [_heading(found), _splits(found)]
    if looked:
        parts.append(_measures(_main(looked)))
    if labelled:
        parts.append(_classes(card, _main(labelled)))
    if len(_main(looked)) < len(looked):
        parts.append(Text("What the frames of other splits hold is in the report of --json F.\n"))
    parts += [_folders(found.folders, found.n_checked)]
    parts += [_finding(finding) for finding in _by_weight(found.findings.all)]
    return Group(*parts, _verdict(found))


def to_json(found: Examination) -> dict[str, Any]:
    """The same as plain values; shares are of the points of the frames that were loaded."""
    card = found.reader.card
    return {
        "schema": SCHEMA,
        "dataset": card.name,
        "title": card.title,
        "reader_version": found.reader.version,
        "root": str(found.root),
        "manifest": found.manifest,
        "own_splits": found.own_splits,
        "fine": not found.findings.faults,
        "findings": [asdict(finding) for finding in _by_weight(found.findings.all)],
        "folders": {name: asdict(folder) for name, folder in found.folders.items()},
        "listed_files_checked": found.n_checked,
        "splits": {name: _split_json(card, split) for name, split in found.splits.items()},
    }


def _heading(found: Examination) -> Text:
    card = found.reader.card
    lists = "splits.json of this root" if found.own_splits else "the published ones"
    lines = [
        f"{found.root}",
        f"{card.sensor}; licence: {card.licence}",
        f"splits: {lists}; manifest {found.manifest[:16]}",
    ]
    return Text.assemble((f"{card.title}\n", "bold"), ("\n".join(lines), "dim"))


def _splits(found: Examination) -> Table:
    table = _table("split", "sequences", "frames", "looked at", "labelled", "images", "poses")
    for name, split in found.splits.items():
        extent, tally, alignment = split.extent, split.tally, split.alignment
        here = len(extent.here)
        of_listed = len(extent.listed) - len(extent.missing)
        published = f"{of_listed} of {len(extent.listed)}" if extent.listed else str(here)
        table.add_row(
            name,
            published,
            str(len(extent.frames)),
            str(tally.n_loaded) + (f" ({split.n_failed} refused)" if split.n_failed else ""),
            _count(tally.n_labelled),
            _count(alignment.n_images.total()),
            _count(alignment.n_posed),
        )
    return table


def _measures(splits: dict[str, SplitReport]) -> Table:
    table = _table("of the frames looked at", *splits)
    columns = [_measure(split) for split in splits.values()]
    for title in dict.fromkeys(title for column in columns for title in column):
        values = [column.get(title, NOTHING) for column in columns]
        if any(value != NOTHING for value in values):
            table.add_row(title, *values)
    return table


def _measure(split: SplitReport) -> dict[str, str]:
    """One column of numbers; `NOTHING` where there is nothing to tell."""
    tally, alignment = split.tally, split.alignment
    low, middle, high = _spread(tally.n_points)
    values = np.array(tally.intensities).reshape(-1, 3)
    heights = np.array(tally.heights_m).reshape(-1, 2)
    return {
        "points, fewest": f"{low:.0f}",
        "points, median": f"{middle:.0f}",
        "points, most": f"{high:.0f}",
        "rows that are no points": _count(tally.n_dropped),
        "points at (0, 0, 0)": _count(tally.n_zeros),
        "points twice": _share(tally.n_duplicates, tally.total_points),
        "farthest point": f"{max(tally.reaches_m, default=0):.1f} m",
        "heights, 98 % of all": _range(heights[:, 0], heights[:, 1], ".1f", " m"),
        "intensity": _range(values[:, 0], values[:, 2], ".4g"),
        "intensity, mean": f"{values[:, 1].mean():.3g}" if len(values) else NOTHING,
        "raw ids not in the card": _count(tally.unknown.total()),
        "points in an image": _share(alignment.n_seen, alignment.n_points),
        "boxes with exactly their points": _share(alignment.n_exact, alignment.n_boxes),
        "boxes with about their points": _share(alignment.n_close, alignment.n_boxes),
        "points of their pixel's class": _share(alignment.n_agreeing, alignment.n_pixels),
        **_conditions(tally.conditions),
    }


def _main(splits: dict[str, SplitReport]) -> dict[str, SplitReport]:
    """Those that have room side by side: all, or the ones that suites read."""
    if len(splits) <= MOST_SPLITS:
        return splits
    return {name: split for name, split in splits.items() if name in ROLES} or dict(
        list(splits.items())[:MOST_SPLITS]
    )


def _conditions(counts: Mapping[str, int]) -> dict[str, str]:
    if len(counts) > MOST_CONDITIONS:
        return {"conditions": str(len(counts))}
    return {f"frames in {name}": str(n) for name, n in sorted(counts.items())}


def _range(low: Float64, high: Float64, form: str, unit: str = "") -> str:
    return f"{low.min():{form}} to {high.max():{form}}{unit}" if len(low) else NOTHING


def _classes(card: Card, splits: dict[str, SplitReport]) -> Table:
    table = _table("share of the points", *splits)
    for train_id, info in enumerate(card.classes):
        name = Text.assemble(("■ ", f"rgb({','.join(map(str, info.colour))})"), info.name)
        table.add_row(name, *_class_shares(splits.values(), train_id))
    table.add_row(Text("□ ignored", style="dim"), *_class_shares(splits.values(), IGNORE))
    return table


def _class_shares(splits: Iterable[SplitReport], train_id: int) -> list[str]:
    tallies = [split.tally for split in splits]
    return [_share(tally.classes[train_id], tally.n_annotated) for tally in tallies]


def _folders(folders: dict[str, Folder], n_checked: int) -> RenderableType:
    table = _table("folder", "files", "size")
    for name, folder in folders.items():
        table.add_row(name, str(folder.n_files), _size(folder.n_bytes))
    told = f"{n_checked} looked for" if n_checked else "lists are not checked against files"
    return Group(table, Text(f"files that frames name: {told}\n", style="dim"))


def _finding(finding: Finding) -> RenderableType:
    sign, style = _SIGNS[finding.level]
    head = Text.assemble((f"{sign} ", style), (finding.where, "bold"))
    body = "\n".join(part for part in (finding.what, finding.how) if part)
    return Group(head, Padding(Text(body), (0, 0, 0, 4), expand=False))


def _verdict(found: Examination) -> Text:
    faults = len(found.findings.faults)
    warnings = len(found.findings.all) - faults
    told = f", {warnings} to look at" if warnings else ""
    title = found.reader.card.title
    if not faults:
        return Text(f"\n{title}: fine{told}", style="bold green")
    thing = "thing needs" if faults == 1 else "things need"
    return Text(f"\n{title}: {faults} {thing} you{told}", style="bold red")


def _split_json(card: Card, split: SplitReport) -> dict[str, Any]:
    extent, tally, alignment = split.extent, split.tally, split.alignment
    names = {**dict(enumerate(card.class_names)), IGNORE: "ignored"}
    low, middle, high = _spread(tally.n_points)
    values = np.array(tally.intensities).reshape(-1, 3)
    return {
        "sequences": list(extent.here),
        "listed": len(extent.listed),
        "missing": list(extent.missing),
        "frames": len(extent.frames),
        "looked_at": tally.n_loaded,
        "refused": split.n_failed,
        "labelled": tally.n_labelled,
        "points": {"least": low, "median": middle, "most": high, "all": tally.total_points},
        "classes": {name: tally.classes[i] for i, name in names.items()} if tally.classes else {},
        "unknown": {str(raw): count for raw, count in sorted(tally.unknown.items())},
        "rows_dropped": tally.n_dropped,
        "points_at_zero": tally.n_zeros,
        "points_twice": tally.n_duplicates,
        "reach_m": max(tally.reaches_m, default=None),
        "intensity": {
            "least": float(values[:, 0].min()),
            "mean": float(values[:, 1].mean()),
            "most": float(values[:, 2].max()),
            "outside": tally.n_outside,
        }
        if len(values)
        else None,
        "conditions": dict(sorted(tally.conditions.items())),
        "poses": alignment.n_posed,
        "images": dict(alignment.n_images),
        "points_of_frames_with_images": alignment.n_points,
        "points_seen": alignment.n_seen,
        "points_seen_by": dict(alignment.seen_by),
        "boxes": alignment.n_boxes,
        "boxes_exact": alignment.n_exact,
        "boxes_close": alignment.n_close,
        "pixels": alignment.n_pixels,
        "pixels_agreeing": alignment.n_agreeing,
    }


def _by_weight(findings: Sequence[Finding]) -> list[Finding]:
    """Warnings first: what needs the user stands last, beside the prompt."""
    return sorted(findings, key=lambda finding: finding.level == "fault")


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _count(number: int) -> str:
    return str(number) if number else NOTHING


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if part else NOTHING


def _spread(numbers: Sequence[int]) -> tuple[float, float, float]:
    if not numbers:
        return (0.0, 0.0, 0.0)
    low, middle, high = np.percentile(numbers, (0, 50, 100)).tolist()
    return low, middle, high


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"

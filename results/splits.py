"""The same rows scored on parts of the points: seen or not, moving or not, near or far. Pure.

Offers `build_splits`, whose table every renderer draws like any other, and `split_title`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lima_bench.results.build import CellId, Outcome, build_table
from lima_bench.results.table import ColumnMeta, Footer, RowMeta, Table
from lima_bench.results.verdict import State

_GROUPS = {
    "seen": "camera",
    "unseen": "camera",
    "moving": "motion",
    "static": "motion",
}
_ORDER = ("camera", "motion", "range", "")
_RANGE = re.compile(r"(?:range_)?(\d+)m?_(?:to_)?(\d+|inf|up)m?")


def build_splits(
    *,
    rows: Sequence[RowMeta],
    outcomes: Mapping[CellId, Outcome],
    dataset: str,
    setting: str,
    suite: str,
    profile: str,
    footer: Footer,
    seeds: Sequence[int] = (),
    differences: Sequence[tuple[str, str]] = (),
    title: str = "",
) -> Table | None:
    """Rows times split metrics, and below them the differences of pairs of rows.

    Args:
        rows: Of the main table; those without any split score stay out.
        outcomes: ``(row id, metric)`` to what is known, such as ``("lima", "miou_unseen")``;
            metrics become columns: by camera, by motion, by range, each as first met.
        dataset: Data-set id of the column that is split.
        setting: Of that column: ``LP``, ``1%``, ...
        suite: Its name.
        profile: The sizes it was run at.
        footer: Where the numbers come from.
        seeds: That each cell should have.
        differences: ``(row id, row id)``: the first minus the second, seed by seed.
        title: One sentence; made from setting and data set if empty.

    Returns:
        None when no row has a split score.
    """
    scored = {row for (row, _), outcome in outcomes.items() if outcome.values}
    kept = [row for row in rows if row.id in scored]
    if not kept:
        return None
    met = dict.fromkeys(metric for _, metric in outcomes)
    metrics = sorted(met, key=lambda metric: _ORDER.index(split_title(metric)[0]))
    columns = [_column(metric, dataset, setting) for metric in metrics]
    by_id = {row.id: row for row in kept}
    pairs = [(by_id[a], by_id[b]) for a, b in differences if a in by_id and b in by_id]
    return build_table(
        title=title or f"{setting} on {dataset}, on parts of the points",
        suite=suite,
        profile=profile,
        rows=[*kept, *(_difference_row(*pair) for pair in pairs)],
        columns=columns,
        outcomes={**outcomes, **_differences(pairs, metrics, outcomes)},
        footer=footer,
        seeds=seeds,
        notes=("Parts differ in their mix of classes: compare within a column only.",),
    )


def split_title(metric: str) -> tuple[str, str]:
    """Group and title of a split metric: ``miou_unseen`` is ``camera``, ``unseen``."""
    part = metric.partition("_")[2] or metric
    if found := _RANGE.fullmatch(part):
        near, far = found.groups()
        return "range", f"over {near} m" if far in ("inf", "up") else f"{near} to {far} m"
    return _GROUPS.get(part, ""), part.replace("_", " ")


def _column(metric: str, dataset: str, setting: str) -> ColumnMeta:
    group, title = split_title(metric)
    return ColumnMeta(
        id=metric, title=title, dataset=dataset, setting=setting, metric=metric, group=group
    )


def _difference_row(row: RowMeta, rival: RowMeta) -> RowMeta:
    return RowMeta(
        id=f"{row.id} - {rival.id}",
        title=f"{row.title} − {rival.title}",
        teacher=row.teacher,
        student=row.student,
        group="difference",
        difference=True,
    )


def _differences(
    pairs: Sequence[tuple[RowMeta, RowMeta]],
    metrics: Sequence[str],
    outcomes: Mapping[CellId, Outcome],
) -> dict[CellId, Outcome]:
    found = {}
    for row, rival in pairs:
        for metric in metrics:
            ours = outcomes.get((row.id, metric), Outcome(state=State.MISSING))
            theirs = outcomes.get((rival.id, metric), Outcome(state=State.MISSING))
            found[_difference_row(row, rival).id, metric] = _minus(ours, theirs)
    return found


def _minus(ours: Outcome, theirs: Outcome) -> Outcome:
    shared = sorted(ours.values.keys() & theirs.values.keys())
    if not shared:
        lack = "share no seed" if ours.values and theirs.values else "have not both run"
        return Outcome(state=State.MISSING, reason=f"the two rows {lack}")
    worse = next((o for o in (ours, theirs) if o.state is not State.DONE), ours)
    values = {seed: ours.values[seed] - theirs.values[seed] for seed in shared}
    return Outcome(values=values, state=worse.state, reason=worse.reason)

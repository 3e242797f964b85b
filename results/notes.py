"""What stands under a table: the meaning of its marks, its warnings, where it comes from. Pure.

Offers `MARKS`, `GLYPHS`, `legend` and `footer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lima_bench.results.orderings import summary
from lima_bench.results.table import Cell, Flag, Table
from lima_bench.results.verdict import Verdict

MARKS: Mapping[Flag, str] = {
    "reconstruction": "†",
    "stale": "‡",
    "limited": "§",
    "disturbed": "∥",
    "partial": "¶",
    "assumed": "*",
    "adopted": "‖",
}
LEGEND: Mapping[Flag, str] = {
    "reconstruction": "reconstruction: parts of the method's publication could not be read",
    "stale": "stale: the code changed after this number was made",
    "limited": "limited: made on part of the data",
    "disturbed": "measured beside other work: the next run measures it again, alone",
    "partial": "some seeds are missing",
    "assumed": "a setting of this column is stated by no source",
    "adopted": "adopted: weights that were not taught here",
}
PROTOCOL = (
    "protocol: assumed: no public text tells which split, label list or classes papers used there; "
    "compare with published numbers only roughly."
)
GLYPHS = {Verdict.REPRODUCED: "✓", Verdict.ABOVE: "▲", Verdict.BELOW: "▼"}
_AGAINST = {"paper": "published numbers", "golden": "golden numbers, kept from an earlier run"}


def legend(table: Table) -> list[tuple[str, str]]:
    """Mark and meaning of the daggers that the table uses."""
    used = {flag for _, _, cell in table if cell.mean is not None for flag in cell.flags}
    used |= {"reconstruction" for row in table.rows if row.reconstruction}
    used |= {"assumed" for column in table.columns if column.assumed}
    used |= {"adopted" for row in table.rows if row.adopted}
    return [(mark, LEGEND[flag]) for flag, mark in MARKS.items() if flag in used]


def footer(table: Table, signs: Mapping[Verdict, str]) -> list[str]:
    """Conventions first, then warnings, then where the numbers come from."""
    cells = [cell for _, _, cell in table]
    lines = []
    if any(cell.std is not None for cell in cells):
        lines.append("±: sample standard deviation over seeds.")
    if any(column.protocol for column in table.columns):
        lines.append(PROTOCOL)
    if any(cell.best for cell in cells):
        lines.append("Bold: best by more than both spreads.")
    if any(cell.reference is not None for cell in cells):
        lines.append(_brackets(table, cells, signs))
    lines += (f"{MARKS['adopted']} {r.title}: from {r.adopted}." for r in table.rows if r.adopted)
    lines += filter(None, (summary(table.orderings), *table.notes))
    if table.footer.embedded:
        lines.append("Embedded world: not comparable with published numbers.")
    return [*lines, _origin(table)]


def _brackets(table: Table, cells: Sequence[Cell], signs: Mapping[Verdict, str]) -> str:
    """What the numbers in brackets are, and what the signs beside them mean."""
    sources = {cell.reference_source for cell in cells if cell.reference_source} - {table.against}
    stated = f", {'; '.join(sorted(sources))}" if sources else ""
    seen = {cell.verdict for cell in cells}
    meant = ", ".join(f"{sign} {verdict}" for verdict, sign in signs.items() if verdict in seen)
    what = _AGAINST.get(table.against, "references")
    return f"In brackets: {what}{stated}{f' ({meant})' if meant else ''}."


def _origin(table: Table) -> str:
    """Suite, profile, seeds, version, commit and date in one line."""
    made = table.footer
    commit = made.commit[:12] + (" with uncommitted changes" if made.dirty else "")
    parts = (
        table.suite,
        f"profile: {table.profile}",
        f"seeds: {', '.join(map(str, made.seeds))}" if made.seeds else "",
        f"lima-bench {made.version}",
        f"commit {commit}" if made.commit else "",
        made.date,
    )
    return " · ".join(filter(None, parts))

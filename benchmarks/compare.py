"""Two runs side by side: ``python -m benchmarks.compare before.json after.json``.

Offers `compared`. Rows meet by name. A change is marked where the quartiles of the two runs do not
overlap; the exit code is 1 where a target that was met before is missed after, 2 where a file holds
no rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import NAME_WIDTH, load, number, verdict
from benchmarks.rows import Row
from lima_bench.common.errors import UserError


@dataclass(frozen=True)
class Change:
    """One row in both runs; None where a run has no such row."""

    name: str
    before: Row | None
    after: Row | None

    @property
    def ratio(self) -> float | None:
        """After over before."""
        if not (self.before and self.after and self.before.value):
            return None
        return None if self.after.value is None else self.after.value / self.before.value

    @property
    def beyond_spread(self) -> bool:
        """Whether the quartiles of the two runs lie apart."""
        if not (self.before and self.after and self.before.spread and self.after.spread):
            return False
        (low, high), (other_low, other_high) = self.before.spread, self.after.spread
        return low > other_high or other_low > high

    @property
    def lost(self) -> bool:
        """Whether a target that was met is missed now."""
        return bool(self.before and self.after and self.before.met and self.after.met is False)


def compared(before: Sequence[Row], after: Sequence[Row]) -> list[Change]:
    """Every row of either run, in the order of the second."""
    old, new = ({row.name: row for row in rows} for rows in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    return [Change(name, old.get(name), new.get(name)) for name in names]


def _line(change: Change) -> str:
    values = (
        "-" if row is None or row.value is None else number(row.value)
        for row in (change.before, change.after)
    )
    ratio = "" if change.ratio is None else f"{change.ratio:.2f}"
    marks = ["apart"] if change.beyond_spread else []
    if change.after and change.after.target:
        marks.append(verdict(change.after) + (" (was met)" if change.lost else ""))
    columns = "".join(f"{value:>11}" for value in (*values, ratio))
    return f"{change.name:<{NAME_WIDTH}}{columns}  {', '.join(marks)}".rstrip()


def main(arguments: Sequence[str]) -> int:
    """Print one line per row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    try:
        changes = compared(load(options.before), load(options.after))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'figure':<{NAME_WIDTH}}{'before':>11}{'after':>11}{'ratio':>11}")
    for change in changes:
        print(_line(change))
    return int(any(change.lost for change in changes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

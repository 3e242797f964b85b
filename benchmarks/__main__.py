"""``python -m benchmarks [PATTERN ...]``: measure, print the table, write it as JSON.

A pattern is a group (``layers``) or names of rows (``'network/*'``); without one all groups run but
those of `benchmarks.groups.ON_REQUEST`. One that breaks costs its own rows only; the exit code
then is 1. A target that is missed is a finding, not an error: the exit code stays 0. A pattern that
means nothing is an error, with exit code 2 and no file written.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.groups import GROUPS, ON_REQUEST, chosen_groups, is_chosen
from benchmarks.report import HEADING, MACHINE, save, text_of
from benchmarks.rows import Row


def main(arguments: Sequence[str]) -> int:
    """Run the chosen groups in order."""
    options = _options(arguments)
    _one_thread()
    lines = machine.describe()
    print("\n".join(lines), HEADING, sep="\n", flush=True)
    found, failed = [Row(MACHINE, None, "", note="; ".join(lines))], False
    for group in chosen_groups(options.patterns, ("embedded",) if options.embedded else ()):
        try:
            rows = _rows_of(group, options)
        except Exception as error:
            traceback.print_exc()
            failed = True
            note = f"broke: {type(error).__name__}: {error}".splitlines()[0]
            rows = [Row(f"{group}/failed", None, "", note=note)]
        print(*map(text_of, rows), sep="\n", flush=True)
        found += rows
    if len(found) == 1:
        print("no row has such a name", file=sys.stderr)
        return 2
    _close(found, options)
    return int(failed)


def _rows_of(group: str, options: argparse.Namespace) -> list[Row]:
    """The chosen rows of a group; tiny sizes have no targets."""
    rows: list[Row] = importlib.import_module(f"benchmarks.{group}").rows(options.quick)
    rows = [row for row in rows if is_chosen(row.name, options.patterns)]
    return [replace(row, target="", met=None) for row in rows] if options.quick else rows


def _one_thread() -> None:
    """One thread for everybody, and idle threads that sleep instead of taking the other core."""
    # OpenMP reads them when it is loaded, with torch: spconv is right with one thread only.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(1)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="group or row names; globs")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument("--embedded", action="store_true", help="also the embedded table: 15 min")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the rows there")
    options = parser.parse_args(arguments)
    for pattern in options.patterns:
        if not chosen_groups([pattern]):
            parser.error(f'no group for "{pattern}"; known: {", ".join((*GROUPS, *ON_REQUEST))}')
    if options.json and not options.json.resolve().parent.is_dir():
        parser.error(f"no folder {options.json.resolve().parent}")
    return options


def _close(rows: Sequence[Row], options: argparse.Namespace) -> None:
    judged = [row for row in rows if row.met is not None]
    print(f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met")
    if options.json:
        save(rows, options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

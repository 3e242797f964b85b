"""How far an examination is: bars on a terminal, one line a part elsewhere, or nothing.

Offers `begin_on`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

from lima_bench.common.progress import Report, silent
from lima_bench.suites.examine.examine import Begin, unheard

if TYPE_CHECKING:
    from rich.progress import Progress


@contextlib.contextmanager
def begin_on(stream: TextIO, *, quiet: bool) -> Iterator[Begin]:
    """Tells on `stream` which part of the work has begun, and on a terminal how far it is."""
    if quiet:
        yield unheard
    elif stream.isatty():
        with _bars() as bars:
            yield lambda title: _bar(bars, title)
    else:
        yield lambda title: _line(stream, title)


def _line(stream: TextIO, title: str) -> Report:
    stream.write(f"{title} …\n")
    return silent


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _bar(bars: Progress, title: str) -> Report:
    for task in bars.tasks:
        bars.remove_task(task.id)
    task_id = bars.add_task(title, total=None)

    def report(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        del metrics
        bars.update(task_id, completed=done, total=total or None)

    return report

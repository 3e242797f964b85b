"""Work in several processes whose results come back in the order of the tasks.

Offers `in_order`.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4
"""Tasks per process that may wait: nobody idles, and memory stays bounded."""


def in_order(
    work: Callable[[T], R], tasks: Iterable[T], processes: int
) -> Generator[R, None, None]:
    """``work(task)`` of every task, in order; tasks are made a few ahead of the reader."""
    if processes == 1:
        yield from map(work, tasks)
        return
    waiting: deque[Future[R]] = deque()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

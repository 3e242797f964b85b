"""One knob for threads: compiled kernels run on as many as torch would use.

Offers `over`. Kernels hold no lock of the interpreter, so plain threads suffice: there is no second
OpenMP pool to fight with torch's, an idle thread burns nothing, and a process may fork at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count

import torch

_CHUNKS_PER_THREAD = 4
"""A core that is slower than the others (shared machines have some) then holds nobody up."""

_MOST_THREADS = 256


def over(n_tasks: int, task: Callable[[int, int], None]) -> None:
    """Call ``task(start, stop)`` for consecutive ranges that cover 0..n_tasks, in any order.

    Args:
        n_tasks: How many there are to do.
        task: Must give the same result however the range is cut, and in whatever order.
    """
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads <= 1:
        task(0, n_tasks)
        return
    n_chunks = min(n_tasks, n_threads * _CHUNKS_PER_THREAD)
    turns = count()  # handing out a number is one step of the interpreter, so no two get the same

    def work() -> None:
        while (turn := next(turns)) < n_chunks:
            task(turn * n_tasks // n_chunks, (turn + 1) * n_tasks // n_chunks)

    helpers = [_pool().submit(work) for _ in range(n_threads - 1)]
    work()
    for helper in helpers:
        helper.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="kernel")  # made when needed


# Threads do not survive a fork; the child makes its own.
os.register_at_fork(after_in_child=_pool.cache_clear)

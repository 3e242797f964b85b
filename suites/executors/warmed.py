"""What the server of workers imports last, so that every worker is forked with it done.

Importing this module loads the compiled inner loops and shields all that is loaded by then from the
garbage collector. A worker then neither loads machine code (half of what a small job takes) nor
walks, and so copies, the server's memory in search of garbage.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable

import torch

from lima_bench.downstream.warm import main as warm_downstream
from lima_bench.lima.warm import main as warm_upstream


def _warm() -> None:
    warm_upstream()
    warm_downstream()


def _warm_and_fork() -> None:
    """Compile what is not on disk yet, then let a fork of this process compute.

    Raises:
        RuntimeError: It cannot. Where torch sees a GPU it starts threads for it with the first
            gradient, and no fork computes gradients after that.
    """
    _warm()
    if not _works_in_fork(_compute):
        raise RuntimeError("what has computed cannot be forked here")


def _compute() -> None:
    torch.ones(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]


def _works_in_fork(work: Callable[[], None]) -> bool:
    """Whether `work` succeeds in a fork of this process, which ends with it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    with contextlib.suppress(BaseException):
        work()
        os._exit(0)
    os._exit(1)


# The compiler's memory stays behind in the fork: here it would be part of every job's peak. Where
# the trial fails, jobs load what they need, and tell what is wrong with it.
if _works_in_fork(_warm_and_fork):
    _warm()
gc.collect()
gc.freeze()

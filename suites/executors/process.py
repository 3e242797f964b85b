"""Runs every job in a child process of its own, on one thread, several at a time.

Children are forked from a server that has loaded torch once, so a job costs no import, starts from
the same state as every other, gives its memory back, and its peak memory is its own. A child leads
its own process group and dies when the driver does, even if that was killed outright.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from lima_bench.suites import work
from lima_bench.suites.order import Event, Order

SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
"""Set before anything is imported: one job a core, and sums that depend on no number of threads."""

LARGE_PAGES = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
"""Asks the system for large pages of memory, where its C library knows how: gathering rows all over
a feature matrix then misses fewer page addresses, 3 to 5 % of a training step. A setting of the
user's own stands."""

_GRACE_S = 3.0


@dataclass(frozen=True)
class _Child:
    """A running order."""

    order: Order
    process: ForkServerProcess
    pipe: Connection


class ProcessExecutor:
    """A pool of short-lived children.

    Args:
        jobs: How many at a time.
        preload: Modules that the server loads before it forks.
    """

    def __init__(self, jobs: int, preload: Sequence[str]) -> None:
        self._jobs = jobs
        self._children: list[_Child] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])
        os.environ.update(SINGLE_THREAD)
        os.environ.setdefault(*LARGE_PAGES)

    @property
    def free(self) -> int:
        """Places that no child fills."""
        return self._jobs - len(self._children)

    def start(self, order: Order) -> None:
        """Fork a child for `order`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_child, args=(order, theirs), daemon=False)
        # Listed first: an interrupt may come while it starts, and what is started but not listed
        # would be waited for, perhaps for days.
        self._children.append(_Child(order, process, ours))
        with _without_main():
            process.start()
        theirs.close()

    def wait(self, seconds: float) -> Sequence[Event]:
        """Events of all children; a child that ends without a word has died."""
        by_pipe = {child.pipe: child for child in self._children}
        if not by_pipe:
            time.sleep(seconds)
            return []
        events: list[Event] = []
        for pipe in wait(list(by_pipe), timeout=seconds):
            assert isinstance(pipe, Connection)
            child = by_pipe[pipe]
            try:
                event = pipe.recv()
            except (EOFError, OSError):
                event = self._obituary(child)
            if event.kind != "progress":
                self._bury(child)
            events.append(event)
        return events

    def stop(self) -> None:
        """Ask every child's group to end, then make it."""
        for child in self._children:
            _signal_group(child.process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for child in self._children:
            if child.process.pid is not None:
                child.process.join(max(0.0, deadline - time.monotonic()))
        for child in list(self._children):
            _signal_group(child.process, signal.SIGKILL)
            self._bury(child)

    def _obituary(self, child: _Child) -> Event:
        child.process.join()
        code = child.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Event(child.order.job.key, "died", message=f"The worker ended by {how}.")

    def _bury(self, child: _Child) -> None:
        self._children.remove(child)
        if child.process.pid is not None:
            child.process.join()
        child.pipe.close()  # ends also a child that was interrupted before it told its number


def _child(order: Order, pipe: Connection) -> None:
    """The life of a child: one order."""
    os.setsid()  # Ctrl-C at the terminal reaches the driver alone, which then stops us
    threading.Thread(target=_die_with_driver, args=(pipe,), daemon=True).start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    lock = threading.Lock()

    def send(event: Event) -> None:
        with lock, contextlib.suppress(BrokenPipeError):
            pipe.send(event)

    work.perform(order, send, own_process=True)


def _die_with_driver(pipe: Connection) -> None:
    """The driver never writes: this read ends when it is gone, and then so does our group."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.killpg(os.getpid(), signal.SIGKILL)


def _signal_group(process: ForkServerProcess, number: signal.Signals) -> None:
    if process.pid is None or not process.is_alive():
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:  # it has not got as far as leading a group
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Children need nothing of the command line's module and should not import it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

"""Who this process is among those that train together: rank, their number, sums over all.

Offers `rank`, `world_size`, `sum_over_ranks`, `mean_over_ranks`, `from_first`, `from_all` and
`run_on`. One process per device; they are started by `run_on` or by ``torchrun`` and told apart by
their environment.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed
from torch import Tensor

from lima_bench.common.progress import Report

T = TypeVar("T")


def launched() -> bool:
    """Whether something outside already started one process per device."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """Number of this process among all, from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def local_rank() -> int:
    """Number of this process among those of this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() else 0


def local_world_size() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if launched() else 1


def sum_over_ranks(array: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`array` summed over every process; itself when there is only one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return array
    backend = torch.distributed.get_backend()
    tensor = torch.from_numpy(array.copy())
    tensor = tensor.cuda() if backend == "nccl" else tensor
    torch.distributed.all_reduce(tensor)
    total: npt.NDArray[np.int64] = tensor.cpu().numpy()
    return total


def from_first(values: Tensor) -> Tensor:
    """Rank 0's `values`, for every process; themselves when there is only one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    shared = values.clone()
    torch.distributed.broadcast(shared, src=0)
    return shared


def from_all(value: T) -> list[T]:
    """Every process's `value`, in the order of ranks; picklable."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of every process's `values`; itself when there is only one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def run_on(devices: int, work: Callable[[Report], T], report: Report) -> T:
    """Do `work` in one process per device; rank 0's result comes back.

    With one device, or when `launched`, the work is done right here. Otherwise it is forked,
    which needs no pickling but an untouched CUDA: nothing may have used it before.

    Raises:
        Exception: The first that any of the processes raised; the others are ended.
    """
    if devices == 1 or launched():
        return work(report)
    context = get_context("fork")
    port = _free_port()
    pipes: dict[Connection, BaseProcess] = {}
    for number in range(devices):
        ours, theirs = context.Pipe(duplex=False)
        process: BaseProcess = context.Process(
            target=_child, args=(number, devices, port, work, theirs)
        )
        process.start()
        theirs.close()
        pipes[ours] = process
    try:
        result: T = _gather(pipes, report)
        return result
    finally:
        for process in pipes.values():
            process.terminate()
            process.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _child(
    number: int, devices: int, port: int, work: Callable[[Report], T], pipe: Connection
) -> None:
    for name, value in (
        ("RANK", number),
        ("LOCAL_RANK", number),
        ("GROUP_RANK", 0),
        ("WORLD_SIZE", devices),
        ("LOCAL_WORLD_SIZE", devices),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", port),
    ):
        os.environ[name] = str(value)

    def tell(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        if number == 0:
            pipe.send(("report", (done, total, dict(metrics or {}))))

    try:
        pipe.send(("result", work(tell)))
    except BaseException as error:
        pipe.send(("error", error))
        raise SystemExit(1) from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _gather(pipes: dict[Connection, BaseProcess], report: Report) -> Any:
    """Pass on reports and errors until every process has given its result."""
    open_pipes, results = list(pipes), {}
    while open_pipes:
        for pipe in wait(open_pipes):
            assert isinstance(pipe, Connection)
            kind, content = _receive(pipe, pipes[pipe])
            if kind == "report":
                report(*content)
            elif kind == "error":
                raise content
            else:
                results[pipe] = content
                open_pipes.remove(pipe)
    return results[next(iter(pipes))]


def _receive(pipe: Connection, process: BaseProcess) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"A training process died with exit code {process.exitcode}.") from None
    return message

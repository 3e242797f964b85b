"""Who is measured: our engines that compute here, and spconv where it is installed.

Offers `PEER`, `our_engine`, `engines`, `peers`, `within` and `without_spconv`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch

from benchmarks import spconv_peer
from lima_bench.lima.backbones.sparse.engine import ENGINES, name_on, use_engine

PEER = "spconv"
CPU = torch.device("cpu")

T = TypeVar("T")


def our_engine() -> str:
    """The engine that a user gets on a CPU: what the targets are about."""
    return name_on(CPU)


def engines() -> list[str]:
    """Our engines that compute on this CPU; the default one first."""
    able = [name for name in ENGINES.names() if ENGINES.get(name).why_not(CPU) is None]
    return sorted(able, key=lambda name: name != our_engine())


def peers() -> list[str]:
    """Whom the default engine has to beat: the other engines, and spconv where it is correct."""
    others = [name for name in engines() if name != our_engine()]
    return others if spconv_peer.why_not() else [*others, PEER]


def within(engine: str, call: Callable[[], T]) -> Callable[[], T]:
    """`call`, with sparse convolution computed by `engine`."""

    @wraps(call)
    def called() -> T:
        with use_engine(engine):
            return call()

    return called


def without_spconv() -> str:
    """What a note has to say where spconv is missing; empty where it is there."""
    reason = spconv_peer.why_not()
    return f"without spconv: {reason}" if reason else ""

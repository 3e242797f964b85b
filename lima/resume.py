"""An interrupted run's state on disk, so that it ends with the bits it would have had.

Offers `History`, `Run` (save, resume) and `forget`. ``state.pt`` holds what all ranks share and
rank 0's own extra state; the other ranks' lies beside, in ``state.<step>.rank<r>.pt``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from lima_bench.common.errors import UserError
from lima_bench.lima.checkpoint import load_state, save_state
from lima_bench.lima.tree import to_device


@dataclass
class History:
    """Every step's loss terms, in order of steps.

    Attributes:
        terms: Term to one value per step.
    """

    terms: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Note one step."""
        for name, value in values.items():
            self.terms.setdefault(name, []).append(value)

    def tail(self, share: float = 0.05) -> dict[str, float]:
        """Mean of each term over the last `share` of its steps, at least one."""
        return {
            name: math.fsum(values[-_ceil(share, values) :]) / _ceil(share, values)
            for name, values in self.terms.items()
        }


@dataclass
class Run:
    """One run's state on disk: a shared part, and one per rank for what differs between ranks."""

    fabric: Fabric
    module: nn.Module
    optimiser: Optimizer
    folder: Path
    seed: int
    total_steps: int
    history: History = field(default_factory=History)

    def save(self, done: int) -> None:
        """Write the state after `done` steps; ``state.pt`` comes last and makes it valid."""
        rank = self.fabric.global_rank
        extra, weights = self._parts()
        if rank > 0:
            save_state(self._local(done, rank), {"extra": extra})
        self.fabric.barrier()
        if rank == 0:
            state = {
                "step": done,
                "seed": self.seed,
                "total_steps": self.total_steps,
                "world_size": self.fabric.world_size,
                "weights": weights,
                "extra": extra,
                "optimiser": self.optimiser.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "history": self.history.terms,
            }
            save_state(self.folder / "state.pt", state)
        self.fabric.barrier()
        for old in self.folder.glob(f"state.*.rank{rank}.pt"):
            if old != self._local(done, rank):
                old.unlink(missing_ok=True)

    def resume(self) -> int:
        """Take up the state in the folder; the first step to do."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return 0
        state = load_state(path)
        self._must_be_ours(path, state)
        rank, done = self.fabric.global_rank, int(state["step"])
        extra = state["extra"] if rank == 0 else load_state(self._local(done, rank))["extra"]
        own = {**state["weights"], **to_device(extra, self.fabric.device)}
        self.module.load_state_dict({**self.module.state_dict(), **own})
        self.optimiser.load_state_dict(state["optimiser"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.history.terms = {name: list(values) for name, values in state["history"].items()}
        return done

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Extra state, which may differ between ranks, and tensors, which may not.

        Frozen parameters are left out: whoever built the module has them, and a teacher is large.
        """
        frozen = {name for name, p in self.module.named_parameters() if not p.requires_grad}
        state = {k: value for k, value in self.module.state_dict().items() if k not in frozen}
        extra = {k: value for k, value in state.items() if k.endswith("_extra_state")}
        return extra, {k: value for k, value in state.items() if k not in extra}

    def _local(self, done: int, rank: int) -> Path:
        return self.folder / f"state.{done}.rank{rank}.pt"

    def _must_be_ours(self, path: Path, state: Mapping[str, Any]) -> None:
        ours = {
            "seed": self.seed,
            "total_steps": self.total_steps,
            "world_size": self.fabric.world_size,
        }
        for name, value in ours.items():
            if state[name] != value:
                raise UserError(
                    path,
                    f"This interrupted run had {name} {state[name]}, now it is {value}.",
                    "Run it with the old value, or delete the file to start from the beginning.",
                )


def forget(folder: Path) -> None:
    """Remove the state of a run whose result is safe."""
    for path in folder.glob("state*.pt"):
        path.unlink(missing_ok=True)


def _ceil(share: float, values: Sequence[float]) -> int:
    return max(1, math.ceil(share * len(values)))

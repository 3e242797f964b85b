"""AdamW for a network of many small tensors on the CPU.

Offers `LeanAdamW`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW


@dataclass(frozen=True)
class _Tied:
    """What a group's update takes besides its gradients.

    Attributes:
        averages: Of the gradients, and of their squares.
        steps: Each parameter's number of steps: the elements of `counts`.
        counts: All of them side by side, so that one addition counts them up.
    """

    averages: tuple[list[Tensor], list[Tensor]]
    steps: list[Tensor]
    counts: Tensor


class LeanAdamW(AdamW):
    """torch's fused AdamW, bit for bit, which remembers where everything lies.

    torch gathers parameters and states anew in every step, checks and sorts them, and counts each
    up by itself: for a student of 75 tensors that takes twice as long as the update. What is
    remembered is dropped when a state is loaded; where a gradient is missing, or off the CPU,
    torch's own step is taken.
    """

    _tied: list[_Tied] | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter; see `torch.optim.AdamW`."""
        gradients = [[p.grad for p in group["params"]] for group in self.param_groups]
        whole = all(grad is not None and grad.is_cpu for part in gradients for grad in part)
        if closure is not None or not whole or not self._tie():
            loss: float | None = super().step(closure)
            return loss
        assert self._tied is not None
        for group, grads, tied in zip(self.param_groups, gradients, self._tied, strict=True):
            if grads:
                _update(group, grads, tied)
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `torch.optim.Optimizer.load_state_dict`."""
        self._tied = None
        super().load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """See `torch.optim.Optimizer.add_param_group`."""
        self._tied = None
        super().add_param_group(param_group)

    def _tie(self) -> bool:
        """Whether every parameter has a state and all is remembered."""
        if self._tied is None:
            states = [[self.state.get(p) for p in group["params"]] for group in self.param_groups]
            if all(part and all(part) for part in states):
                self._tied = [_tied(part) for part in states]
        return self._tied is not None


def _tied(states: list[Any]) -> _Tied:
    counts = torch.stack([state["step"] for state in states])
    for state, count in zip(states, counts.unbind(), strict=True):
        state["step"] = count
    averages = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
    return _Tied(averages, [state["step"] for state in states], counts)


def _update(group: dict[str, Any], grads: list[Tensor | None], tied: _Tied) -> None:
    tied.counts.add_(1)
    beta1, beta2 = group["betas"]
    torch._fused_adamw_(
        group["params"],
        grads,  # type: ignore[arg-type]
        *tied.averages,
        [],
        tied.steps,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )

"""Whether an engine computes the same as the reference does in float64.

Offers `Agreement` and `agreement`. For engines made of foreign kernels, before they are trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.common.seeds import derive_seed
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.reference import REFERENCE
from lima_bench.lima.backbones.sparse.window import Window
from lima_bench.lima.tree import to_device

N_DRAWN, N_CLOUDS, SIDE = 700, 2, 9
"""Cells drawn, in so small a grid that most have neighbours; more than a block of any kernel."""

WIDTHS = ((16, 24), (5, 16))
"""Channels in and out: what tensor cores like, and what they do not."""


@dataclass(frozen=True)
class Agreement:
    """Largest errors over all maps, each relative to the largest value expected.

    Attributes:
        forward: Of the result.
        features: Of the gradient of the input.
        weight: Of the gradient of the weight.
    """

    forward: float
    features: float
    weight: float

    @property
    def worst(self) -> float:
        """The largest of the three; infinite where a value is not finite."""
        return max(self.forward, self.features, self.weight)

    def __str__(self) -> str:
        """The three errors, for people."""
        return (
            f"forward {self.forward:.1e}, gradients {self.features:.1e} of the input "
            f"and {self.weight:.1e} of the weight"
        )


def agreement(
    engine: Any, device: torch.device, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Agreement:
    """Compare an engine with the reference on random convolutions of every kind.

    Submanifold, down, up, and one with overlapping windows.

    Args:
        engine: An `lima_bench.lima.backbones.sparse.engine.Engine`.
        device: Where it computes; the reference computes on the CPU.
        dtype: In what it computes; the reference computes in float64.
        seed: Of the cells and numbers.
    """
    generator = torch.Generator().manual_seed(derive_seed("engine parity", seed))
    # Whoever asks may be inside autocast or inference mode.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.autocast("cpu", enabled=False),
    ):
        level = _level(generator)
        strided = Level.strided(level.coords, (SIDE, SIDE, SIDE), [Window()])
        errors = [
            _errors(engine, kernel_map, widths, device, dtype, generator)
            for kernel_map in (level.neighbours, level.down, level.up, strided.down)
            for widths in WIDTHS
        ]
    return Agreement(*(max(each) for each in zip(*errors, strict=True)))


def _level(generator: torch.Generator) -> Level:
    tops = torch.tensor([N_CLOUDS, SIDE, SIDE, SIDE])
    drawn = (torch.rand(N_DRAWN, 4, generator=generator) * tops).long()
    return Level.of(torch.unique(drawn, dim=0), n_levels=2)


def _errors(
    engine: Any,
    kernel_map: KernelMap,
    widths: tuple[int, int],
    device: torch.device,
    dtype: torch.dtype,
    generator: torch.Generator,
) -> list[float]:
    def draw(*shape: int) -> Float[Tensor, "..."]:
        return torch.randn(*shape, generator=generator).to(dtype)

    c_in, c_out = widths
    drawn = (
        draw(kernel_map.n_in, c_in),
        draw(kernel_map.table.shape[1], c_in, c_out),
        draw(kernel_map.n_out, c_out),
    )
    expected = _run(REFERENCE, kernel_map, *(each.double() for each in drawn))
    there = to_device(kernel_map, device)
    found = _run(engine, there, *(each.to(device) for each in drawn))
    return [_error(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]


def _run(
    engine: Any, kernel_map: KernelMap, features: Tensor, weight: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    features.requires_grad_()
    weight.requires_grad_()
    out = engine.convolve(features, weight, kernel_map)
    return out.detach(), *torch.autograd.grad(out, (features, weight), upstream)


def _error(found: Tensor, expected: Tensor) -> float:
    difference = (found.cpu().double() - expected).abs().max() / expected.abs().max()
    return float(difference.nan_to_num(nan=torch.inf))

"""Where a run takes place: device, precision, processes and deterministic kernels.

Offers `start_fabric`, `seed_torch`, `synchronised` and `deterministic`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.lima import ranks


def start_fabric(precision: str, device: str) -> Fabric:
    """The device of this process, joined with its siblings where there are any.

    Args:
        precision: ``32-true``, ``16-mixed`` or ``bf16-mixed``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UserError: There is no such device, or it cannot do that precision.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu" and precision == "16-mixed":
        raise UserError(
            "recipe: precision",
            "16-mixed needs a GPU.",
            "Set precision to 32-true or bf16-mixed, or run with --device cuda.",
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda", "No CUDA device is available here.", "Use --device cpu.")
    together = ranks.world_size() > 1
    fabric = Fabric(
        accelerator=kind,
        devices=[int(number)] if number else ranks.local_world_size(),
        num_nodes=ranks.world_size() // ranks.local_world_size(),
        precision=precision,  # type: ignore[arg-type]
        # A batch may leave a head without gradient on one rank, e.g. where no camera sees a point.
        strategy="ddp_find_unused_parameters_true" if together else "auto",
        plugins=[TorchElasticEnvironment() if together else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what random operations on `device`, and on the CPU, draw from.

    `torch.manual_seed` also notes the seed, with a stack trace, for every kind of device that has
    not been used yet: half a millisecond and ten kilobytes a step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """Make BatchNorm see the batch of every device."""
    if device.type != "cuda":
        warnings.warn("BatchNorm is not synchronised between CPU processes.", stacklevel=2)
        return module
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask torch for its deterministic kernels; the few operations without one only warn."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]

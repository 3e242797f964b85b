"""A published file as one flat table of tensors under their full names, and what else it tells.

Offers `Release` and `open_release`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lima_bench.common.hashing import file_digest
from lima_bench.lima.adopt.safe_load import read_release

WRAPPERS = frozenset(
    {
        "model_points",
        "state_dict",
        "model_state",
        "model_state_dict",
        "model",
        "module",
        "model_q",
        "encoder",
        "backbone_3d",
        "backbone",
        "student",
        "net",
        "network",
        "trunk",
        "2",
    }
)
"""What training code puts before a network's names. SLidR's and CSC's loaders strip most of these
(``trunk.2`` is DepthContrast's); mmdetection3d and OpenPCDet bring the others."""


@dataclass(frozen=True)
class Release:
    """What a file holds.

    Attributes:
        path: The file.
        sha256: Of its bytes.
        tensors: By full name: the keys of all tables around a tensor, then its own.
        config: Settings of the training, where the file has them; plain values only.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]

    def roots(self, name: str) -> list[str]:
        """Everything that stands before `name`, such as ``"model_points."`` or nothing.

        Where several do, only those made of `WRAPPERS`: copies (moving averages, momentum
        encoders, teachers) stand under names of their own.
        """
        ends = (n for n in self.tensors if n == name or n.endswith(f".{name}"))
        found = sorted({end[: len(end) - len(name)] for end in ends})
        known = [root for root in found if WRAPPERS.issuperset(root.split(".")[:-1])]
        return known if len(found) > 1 else found

    def under(self, root: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `root`, without it."""
        return {n[len(root) :]: t for n, t in self.tensors.items() if n.startswith(root)}


def open_release(path: Path) -> Release:
    """Read a published file without running anything of it.

    Raises:
        UserError: It is missing, damaged, or wants to run code.
    """
    loaded = read_release(path)
    config = loaded.get("config")
    return Release(
        path=path,
        sha256=file_digest(path),
        tensors=dict(_flat(loaded, "")),
        config=config if isinstance(config, Mapping) else {},
    )


def _flat(table: Mapping[Any, Any], before: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in table.items():
        if isinstance(value, Tensor):
            yield f"{before}{key}", value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")

"""A folder with one large file of numbers and an index that says what lies where in it.

Offers `StoreFolder`, which `lima_bench.lima.image_store` and `lima_bench.lima.clusters.store` open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError

INDEX = "index.json"


@dataclass(frozen=True)
class StoreFolder:
    """An open store; travels between processes as its folder's name, never with its content.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @cached_property
    def index(self) -> dict[str, Any]:
        """What was written beside the numbers.

        Raises:
            UserError: There is no store.
        """
        path = self.folder / INDEX
        if not path.is_file():
            raise UserError(self.folder, "Nothing is cached here.", "Build it again.")
        index: dict[str, Any] = json.loads(path.read_text())
        return index

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was noted when the store was written."""
        facts: Mapping[str, Any] = self.index["facts"]
        return facts

    def mapped(self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The numbers in the file `name`, memory-mapped, read-only.

        Raises:
            UserError: The file is shorter or longer than the index says.
        """
        path = self.folder / name
        expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            raise UserError(path, f"{found} bytes, expected {expected}.", "Build it again.")
        if expected == 0:
            return np.zeros(shape, dtype)  # an empty file cannot be mapped
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)

    def __getstate__(self) -> dict[str, Any]:
        """Only the folder: a worker maps the file itself."""
        return {"folder": self.folder}

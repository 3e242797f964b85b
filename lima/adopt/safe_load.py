"""Published weights -> plain tables, without running anything that stands in their file.

Offers `read_release`. Our own files are read and written by `lima_bench.lima.checkpoint`.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lima_bench.common.errors import UserError

_BYSTANDERS = (
    "argparse.Namespace",
    "builtins.getattr",
    "__builtin__.getattr",
    "easydict.EasyDict",
    "mmengine.config.config.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "pathlib.PosixPath",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "typing.Any",
)
"""What the logs and settings in published training states name; read as `_Bystander`."""


def read_release(path: Path) -> dict[str, Any]:
    """Everything in a published file: its tensors, and the plain values around them.

    Logs and settings that are objects of other packages are read as nothing; none of their code is
    looked for, let alone run.

    Raises:
        UserError: The file is missing, damaged, no table, or a pickle that wants to run code.
    """
    if not path.is_file():
        raise UserError(path, "There is no such file.", "Check the path.")
    if _looks_like_safetensors(path):
        return dict(_safetensors(path))
    with _as_bystanders():
        loaded = _load_foreign(path)
    if not isinstance(loaded, dict):
        what = f"This file holds a {type(loaded).__name__}, not a table of tensors."
        raise UserError(path, what, "Export the network's state dict.")
    return loaded


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise _damaged(path) from error


def _looks_like_safetensors(path: Path) -> bool:
    """By content: eight bytes of length, then JSON. Neither a zip nor a pickle begins so."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


class _Bystander:
    """Takes the place of an object that is not wanted, and forgets all that it is given."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Bystander:
        """Any arguments will do."""
        del args, kwargs
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Any arguments will do."""

    def __setstate__(self, state: Any) -> None:
        """Any state will do."""


@contextlib.contextmanager
def _as_bystanders() -> Iterator[None]:
    """Within it, torch's restricted unpickler takes the names of `_BYSTANDERS` for `_Bystander`."""
    kept = torch.serialization.get_safe_globals()
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = []
    for full_name in _BYSTANDERS:
        module, _, name = full_name.rpartition(".")
        stand_ins.append(type(name, (_Bystander,), {"__module__": module, "__qualname__": name}))
    torch.serialization.add_safe_globals(stand_ins)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(kept)


def _load_foreign(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # Torch warns of pickles of another kind before it refuses them: one message is enough.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is None:
            raise _damaged(path) from error
        what = f"This pickle is more than tensors and plain values: it wants {wanted[1]} to be run."
        how = "Load it where you trust it, and save the state dict alone, best as safetensors."
        raise UserError(path, what, how) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        struct.error,
    ) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UserError:
    what = "This is no whole file of weights: it is cut off or damaged, or torch did not write it."
    return UserError(path, what, "Get it again.")

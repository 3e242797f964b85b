"""A make-believe device: on no machine without a GPU would a tensor in the wrong place be noticed.

Offers `elsewhere`, a context in which the device ``meta`` computes (on the CPU, in secret), `moved`
and `fetched`. There, as on a GPU, tensors of two devices do not mix: what a CPU tensor may do is to
be copied, to be a number without axes, and to index rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from lima_bench.lima.tree import map_tensors

THERE = torch.device("meta")
_COPIES = ("aten::copy_", "aten::_to_copy", "aten::set_")
_INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Elsewhere(Tensor):
    """A tensor that says it is `THERE`; what it holds is `here`."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        """Wrap a CPU tensor."""
        made = Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=THERE,
        )
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        """Beside this one, unless said otherwise."""
        return torch.tensor(data, **{"dtype": self.dtype, "device": THERE, **kwargs})

    def tolist(self) -> Any:
        """As numbers, which any device can hand out."""
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Compute on the CPU, if everything is where it should be."""
        return _computed(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Makes tensors on `THERE` that hold something, which torch's own meta tensors do not."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Numbers are made into tensors behind every dispatcher's back: first here, then copied."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


def _computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    name = func._schema.name
    there = any(isinstance(one, Elsewhere) for one in tensors)
    if name not in _COPIES:
        _must_not_mix(name, args, tensors, there)
    asked = kwargs.get("device")
    goes_there = there if asked is None else torch.device(asked) == THERE
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    wrappers = {id(one.here): one for one in tensors if isinstance(one, Elsewhere)}
    inner_args, inner_kwargs = tree_map_only(Elsewhere, lambda one: one.here, (args, kwargs))
    made = func(*inner_args, **inner_kwargs)
    if not goes_there:
        return made

    def wrapped(one: Tensor) -> Tensor:
        return wrappers[id(one)] if id(one) in wrappers else Elsewhere(one)

    return tree_map_only(Tensor, wrapped, made)


def _must_not_mix(name: str, args: tuple[Any, ...], tensors: list[Tensor], there: bool) -> None:
    plain = [one for one in tensors if not isinstance(one, Elsewhere) and one.dim() > 0]
    if there and name in _INDEXED and isinstance(args[0], Elsewhere):
        plain = [one for one in plain if len(args) > 2 and one is args[2]]
    if there and plain:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")


def moved(tree: Any) -> Any:
    """A module, in place, or a batch with every tensor `THERE`."""
    if not isinstance(tree, nn.Module):
        return map_tensors(Elsewhere, tree)
    for module in tree.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                own = nn.Parameter(Elsewhere(weight.data), requires_grad=weight.requires_grad)
                module._parameters[name] = own
        for name, buffer in list(module._buffers.items()):
            module._buffers[name] = None if buffer is None else Elsewhere(buffer)
    return tree


@contextlib.contextmanager
def elsewhere(monkeypatch: Any) -> Iterator[None]:
    """The device exists, and autocast knows it."""
    own = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: own("cpu" if kind == "meta" else kind, *a, **k)
    )
    with _Literals(), _Factories():
        yield

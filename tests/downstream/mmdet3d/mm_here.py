"""Makes mmdetection3d importable without compiled operators, and spconv trainable on a CPU."""

import contextlib
import importlib
import importlib.util
import sys
import types

import pytest
import torch

NEEDED = ("mmengine", "mmcv", "mmdet", "mmdet3d")


class _NoOperators(types.ModuleType):
    """Stands in for ``mmcv._ext``: every operator is there, and none can be called."""

    __file__ = "stand-in"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*given, **more):
            raise NotImplementedError(f"mmcv's operator {name} is not compiled here")

        return absent


def mmdet3d_or_skip():
    """The package mmdet3d with all of its models registered, or a skip that says why not."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed: see the extra mmdet3d and detection 2.2")
    # Without it the stand-in is enough for everything but operators that are never called here.
    if importlib.util.find_spec("mmcv._ext") is None:
        sys.modules.setdefault("mmcv._ext", _NoOperators("mmcv._ext"))
    return importlib.import_module("mmdet3d")


def spconv_or_skip():
    """spconv where it can train on a CPU, or a skip that says why not."""
    if importlib.util.find_spec("spconv") is None:
        pytest.skip("spconv is not installed: mmdetection3d's own encoder does not run")
    return importlib.import_module("spconv.pytorch")


@contextlib.contextmanager
def spconv_on_cpu():
    """One thread, and no question for a CUDA stream: its CPU build is wrong otherwise (1.2)."""
    from spconv.pytorch import ops

    threads, asked = torch.get_num_threads(), ops.get_current_stream
    torch.set_num_threads(1)
    if not torch.cuda.is_available():
        ops.get_current_stream = lambda: 0
    try:
        yield
    finally:
        ops.get_current_stream = asked
        torch.set_num_threads(threads)

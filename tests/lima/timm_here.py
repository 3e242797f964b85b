"""Makes timm importable where its torchvision was built for another torch; for tests only."""

import importlib
import importlib.util
import sys

import pytest
import torch

_KEPT = []


def timm_or_skip():
    """The package timm, or a skip that says why it cannot be had here."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip('timm is not installed: pip install "lima-bench[teachers]"')
    _define_missing_operators()
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"timm does not import here: {error}")


def _define_missing_operators():
    """A torchvision for CUDA beside a torch for CPUs misses two operators that timm never calls."""
    foreign = importlib.util.find_spec("torchvision") and not torch.cuda.is_available()
    if not foreign or _KEPT or _imports_torchvision():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


def _imports_torchvision():
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        return False
    return True

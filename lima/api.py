"""The public door of `lima_bench.lima`: what a method imports, built in or plugged in.

A method is an ``nn.Module`` with ``__init__(self, settings, teacher, student)`` and
``forward(batch) -> Loss``; its trainable parameters and its memory live in its module state. What
else it wants it asks for by static functions: ``plan_views(settings, scans, rng) -> ViewPlan``
(`lima_bench.lima.views`), ``company(settings) -> Company`` (`lima_bench.lima.company`),
``lookback(settings) -> Lookback`` (`lima_bench.lima.lookback`), ``order(settings)`` where its
settings choose between orders (`lima_bench.lima.order`), ``survey_every(settings)`` with a method
``survey`` (`lima_bench.lima.survey`). A ``diagnose(batches) -> dict[str, float]`` gives numbers of
the finished network, in evaluation mode and without gradients, that are entered in the run's
record. `register_method` makes it known by name, `load_plugin` reads it from a file, `load_method`
hands out its class. `register_segmenter` does the same for what cuts images into masks.

Example::

    class Settings(lima_bench.lima.api.Settings):
        distance: Literal["l2norm", "cosine"] = "cosine"

    @register_method("plain-cosine", version=1, settings=Settings)
    class PlainCosine(nn.Module): ...
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar, Unpack, cast

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.batch import Batch, Images, PairIndex, Scan
from lima_bench.lima.features import ImageTeacher as Teacher
from lima_bench.lima.loss import Loss
from lima_bench.lima.methods.card import CardFacts, MethodCard
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.readout import Cells
from lima_bench.lima.recipes import Settings
from lima_bench.lima.sampling import sample_pixels
from lima_bench.lima.segmenters.catalogue import SegmenterSettings, register_segmenter
from lima_bench.lima.voxels import Voxels

__all__ = [
    "METHODS",
    "Batch",
    "Cells",
    "Images",
    "Loss",
    "MethodCard",
    "PairIndex",
    "Scan",
    "SegmenterSettings",
    "Settings",
    "Student",
    "Teacher",
    "Voxels",
    "load_installed_plugins",
    "load_method",
    "load_plugin",
    "register_method",
    "register_segmenter",
    "sample_pixels",
]

ENTRY_POINTS = "lima_bench.methods"


class Student(Protocol):
    """What a method sees of the network that it teaches."""

    @property
    def width(self) -> int:
        """Channels of a point's feature."""

    def __call__(self, voxels: Voxels) -> Float[Tensor, "rows width"]:
        """One feature per point that went into the voxels."""

    def cells(self, voxels: Voxels) -> Cells:
        """One feature per cell of its output, and how points read what is kept per cell."""


M = TypeVar("M", bound=type[nn.Module])


def register_method(
    name: str,
    *,
    version: int,
    settings: type[Settings],
    **facts: Unpack[CardFacts],
) -> Callable[[M], M]:
    """Class decorator: make a method known as `name`.

    Args:
        name: The method id that suites use.
        version: Raise it when the method's numbers change on purpose.
        settings: A subclass of `Settings` with a default for every field.
        facts: Whatever else `MethodCard` knows of a method: what it needs, its title, frames, ...

    Raises:
        UserError: The name is taken, or `settings` is not a `Settings` class.
    """
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise UserError(
            f"method {name}",
            f"settings={settings!r} is not a settings class.",
            "Derive it from lima_bench.lima.api.Settings, with a default for every field.",
        )

    def register(cls: M) -> M:
        known: CardFacts = {"title": name, **facts}
        card = MethodCard(
            name=name, version=version, implementation=cls, settings=settings, **known
        )
        METHODS.add(name, card)
        return cls

    return register


def load_method(card: MethodCard) -> type[nn.Module]:
    """The class of a method, imported now if it is built in.

    Raises:
        UserError: The method has no code yet.
    """
    if not isinstance(card.implementation, str):
        return card.implementation
    if not card.is_built:
        built = (name for name in METHODS.names() if METHODS.get(name).is_built)
        raise UserError(f"method {card.name}", "It is not built yet.", f"Built: {', '.join(built)}")
    module, name = card.implementation.split(":")
    return cast("type[nn.Module]", getattr(importlib.import_module(module), name))


def load_plugin(path: Path) -> ModuleType:
    """Import a file under a name of its own; what it registers is known from then on.

    A second call with the same file does nothing.

    Raises:
        UserError: There is no such file, or importing it fails.
    """
    path = path.resolve()
    place = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"lima_bench_plugin_{path.stem}_{place}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(path, "There is no Python file here.", "Give --plug an existing FILE.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise _import_failure(path, error) from error
    return module


def load_installed_plugins() -> tuple[str, ...]:
    """Import every installed package's entry points of group ``lima_bench.methods``; their names.

    Raises:
        UserError: One of them cannot be imported.
    """
    names = []
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except UserError:
            raise
        except Exception as error:
            raise _import_failure(f"{point.name} ({point.value})", error) from error
        names.append(point.name)
    return tuple(names)


def _import_failure(where: object, error: Exception) -> UserError:
    """The error with the line of the plug-in that raised it, if it was one of its own."""
    steps = traceback.extract_tb(error.__traceback__)
    lines = [step.lineno for step in steps if step.filename == str(where)]
    if isinstance(error, SyntaxError) and error.filename == str(where):
        lines.append(error.lineno)
    return UserError(
        f"{where}:{lines[-1]}" if lines else where,
        f"This plug-in cannot be imported: {type(error).__name__}: {error}",
        "Mend it there.",
    )

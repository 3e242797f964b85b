"""Training frames as they are read, each once while they fit: Frame -> `LoadedFrame`.

Offers `LoadedFrames`, which what learns from boxes shares: the object database, the balancing of
classes, and the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

from lima_bench.datasets.sample import Frame, Source
from lima_bench.downstream.detection.boxes import Objects
from lima_bench.downstream.detection.data.objects import facts_of, objects_of
from lima_bench.downstream.detection.data.sweeps import SweptPoints, scans_of
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.clouds import scaled_intensity
from lima_bench.lima.recipes import InputSettings, StudentSettings

CACHE_BYTES = 256 << 20
"""Of loaded scans, per loading process."""


@dataclass(frozen=True)
class LoadedFrame:
    """One annotated keyframe.

    Attributes:
        scans: Its own scan, and those before it that may be added; intensities as they are fed.
        objects: What is in it.
    """

    scans: tuple[SweptPoints, ...]
    objects: Objects


class LoadedFrames:
    """Reads annotated frames and remembers the latest of them.

    Args:
        source: The label share.
        student: How intensities are fed.
        recipe: How many sweeps.
        cache_bytes: Limit of what is kept in memory; a loading process begins with nothing.

    Raises:
        UserError: The data set's card says nothing of boxes.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        recipe: DetectRecipe,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.source, self.recipe, self.facts = source, recipe, facts_of(source.card)
        self._inputs = student.inputs
        self._kept: ByteCache[LoadedFrame] = ByteCache(cache_bytes)
        self._objects: dict[str, Objects] = {}

    def at(self, frame: Frame) -> LoadedFrame:
        """Scans and objects of `frame`.

        Raises:
            UserError: It has no boxes, no sweeps where the recipe wants some, or cannot be read.
        """
        return self._kept.get(frame.id, lambda: self._read(frame))

    def objects(self, frame: Frame) -> Objects:
        """The objects of `frame` alone: of frames that were loaded once they are still known.

        Raises:
            UserError: It has no boxes, or cannot be read.
        """
        if frame.id not in self._objects:
            self._objects[frame.id] = objects_of(self.source.load(frame), self.facts)
        return self._objects[frame.id]

    def _read(self, frame: Frame) -> LoadedFrame:
        sample = self.source.load(frame)
        objects = self._objects[frame.id] = objects_of(sample, self.facts)
        scans = scans_of(self.source, frame, sample, self.recipe)
        return LoadedFrame(
            tuple(fed(scan, self.source, frame, self._inputs) for scan in scans), objects
        )


def fed(scan: SweptPoints, source: Source, frame: Frame, inputs: InputSettings) -> SweptPoints:
    """The scan with intensities as the network is fed them."""
    scaled = scaled_intensity(scan.intensity, source.scale_of(frame), inputs)
    return scan._replace(intensity=scaled)

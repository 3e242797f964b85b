"""Stand-ins for masks, made of the teacher's cached features: grids -> centres -> ids per image.

Offers `Classes` (semantic masks: a cluster is a class, the same in every image) and `Regions`
(class-agnostic instances: connected regions of one cluster). Spherical k-means over the data set's
standardised grids; a pixel's likeness to each centre is interpolated between cells, and the
likeliest centre is its cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Camera, Float64, Int64
from lima_bench.lima.features import Grids, standardise
from lima_bench.lima.kmeans import settled
from lima_bench.lima.losses import unit
from lima_bench.lima.segmenters.catalogue import KmeansSettings, RegionsSettings

CELLS = 20_000
"""Of all images together, drawn for the centres."""

ROUNDS = 25
"""Of k-means; more change little."""


@dataclass(frozen=True)
class Clusters:
    """Where the clusters of a data set lie, and how an image is divided among them.

    Attributes:
        grids: The cached features.
        centres: (clusters, D) unit vectors, the largest cluster first.
        size: (height, width) of the maps.
    """

    grids: Grids
    centres: Float64
    size: tuple[int, int]

    @classmethod
    def of(cls, grids: Grids, n_clusters: int, size: tuple[int, int]) -> Clusters:
        """Find the clusters; the same for the same features."""
        rng = np.random.default_rng(derive_seed(0, "clusters", n_clusters))
        return cls(grids, spherical_kmeans(_cells(grids, rng), n_clusters, rng), size)

    def ids(self, camera: Camera) -> Int64:
        """The cluster of every pixel of an image, at `size`."""
        cells = _directions(self.grids, self.grids.lookup([camera]))
        likeness = cells @ torch.from_numpy(self.centres).T
        dense = F.interpolate(
            likeness.permute(0, 3, 1, 2), self.size, mode="bilinear", align_corners=True
        )
        found: Int64 = dense[0].argmax(0).numpy()
        return found


@dataclass(frozen=True)
class Classes:
    """A cluster is a class.

    Attributes:
        clusters: Of the data set.
    """

    clusters: Clusters

    @classmethod
    def made(cls, settings: KmeansSettings, grids: Grids, size: tuple[int, int]) -> Classes:
        """Find the classes of the data set that `grids` are of."""
        return cls(Clusters.of(grids, settings.n_ids, size))

    @property
    def n_ids(self) -> int | None:
        """How many classes there are, in an image or not."""
        return len(self.clusters.centres)

    def __call__(self, camera: Camera) -> Int64:
        """The class of every pixel."""
        return self.clusters.ids(camera)


@dataclass(frozen=True)
class Regions:
    """A connected region of one cluster is a segment of its own.

    Attributes:
        settings: Which regions are kept.
        clusters: Of the data set.
    """

    settings: RegionsSettings
    clusters: Clusters

    @classmethod
    def made(cls, settings: RegionsSettings, grids: Grids, size: tuple[int, int]) -> Regions:
        """Find the clusters of the data set that `grids` are of."""
        return cls(settings, Clusters.of(grids, settings.n_clusters, size))

    @property
    def n_ids(self) -> int | None:
        """Not fixed."""
        return None

    def __call__(self, camera: Camera) -> Int64:
        """The region of every pixel, the largest first; -1 in regions that are too small."""
        return connected(
            self.clusters.ids(camera),
            least_share=self.settings.least_share,
            most=self.settings.most,
        )


def connected(ids: Int64, *, least_share: float, most: int) -> Int64:
    """Regions of equal ids whose pixels touch by their sides, numbered from the largest.

    Args:
        ids: (rows, columns).
        least_share: Of all pixels; smaller regions become -1.
        most: Keep so many, the largest; others become -1.
    """
    from skimage.measure import label

    found: npt.NDArray[np.integer[Any]] = label(ids, background=-1, connectivity=1)  # type: ignore[no-untyped-call]
    regions = found.astype(np.int64)
    areas = np.bincount(regions.ravel())
    order = np.argsort(-areas, kind="stable")
    kept = [n for n in order if areas[n] >= max(1.0, least_share * ids.size)][:most]
    number = np.full(len(areas), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    numbered: Int64 = number[regions]
    return numbered


def spherical_kmeans(vectors: Float64, n_clusters: int, rng: np.random.Generator) -> Float64:
    """Centres (clusters, D), unit vectors, of the clusters of unit vectors; largest cluster first.

    Begins with k-means++ by cosine.
    """
    found = torch.from_numpy(vectors)
    centres = settled(found, torch.from_numpy(_first_centres(vectors, n_clusters, rng)), ROUNDS)
    sizes = torch.bincount((found @ centres.T).argmax(1), minlength=len(centres))
    ordered: Float64 = centres[torch.argsort(sizes, descending=True, stable=True)].numpy()
    return ordered


def _first_centres(vectors: Float64, n_clusters: int, rng: np.random.Generator) -> Float64:
    chosen = [int(rng.integers(len(vectors)))]
    unlike = np.full(len(vectors), np.inf)
    while len(chosen) < n_clusters:
        unlike = np.minimum(unlike, np.clip(1 - vectors @ vectors[chosen[-1]], 0, None))
        total = unlike.sum()
        weight = unlike / total if total > 0 else None
        chosen.append(int(rng.choice(len(vectors), p=weight)))
    return vectors[chosen].copy()


def _cells(grids: Grids, rng: np.random.Generator) -> Float64:
    """Unit vectors of cells drawn from every image, as many from each."""
    n_images, height, width = grids.store.array.shape[:3]
    per_image = min(height * width, max(1, -(-CELLS // n_images)))
    return np.concatenate(list(_drawn(grids, per_image, rng)))


def _drawn(grids: Grids, n: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
    for grid in grids.store.array:
        cells = _directions(grids, torch.from_numpy(np.array(grid))[None]).flatten(0, 2).numpy()
        yield cells[np.sort(rng.choice(len(cells), n, replace=False))]


def _directions(grids: Grids, found: torch.Tensor) -> torch.Tensor:
    """Standardised unit vectors, float64."""
    return unit(standardise(found, grids.mean, grids.std).double())

"""The segmenters there are, without their code: what a recipe may name and what each one needs.

Offers `SegmenterCard`, `SEGMENTERS`, `register_segmenter` for plug-ins, and the settings of the
built-in ones. Light: no torch, so that planning never loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lima_bench.common.registry import Registry

Count = Annotated[int, Field(ge=1)]


class SegmenterSettings(BaseModel):
    """Base of a segmenter's settings: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SlicSettings(SegmenterSettings):
    """SLIC of scikit-image on the full-size image, as published with SLidR (methods-spatial 0.4).

    Attributes:
        n_segments: Superpixels to aim at per image; 150 for voxel networks, 30 for VoxelNet.
        compactness: Weight of nearness against colour.
        sigma: Of the blur before, pixels.
    """

    n_segments: Count = 150
    compactness: float = 6.0
    sigma: float = 3.0


class FolderSettings(SegmenterSettings):
    """One PNG per image, ids as 8-bit grey values: ``<path>/<image id>.png``.

    The image id is that of the data set; of nuScenes the camera's sample_data token. Published so:
    Seal's SAM (`first_id` 0: uncovered pixels share it with the largest mask) and SEEM (0 means
    unassigned, so `first_id` 1), SuperFlow's OpenSeeD (17 classes, 0 is one of them), CSC's DINOv2
    (0 means none, 1 to 150 are the classes of ADE20K).

    Attributes:
        path: Folder, relative to the data root.
        first_id: The value of the first segment in the files; smaller ones belong to no segment.
        n_ids: How many ids there are, classes or slots, counted from `first_id`; None: as many as
            the files show.
    """

    path: str
    first_id: Annotated[int, Field(ge=0, le=255)] = 0
    n_ids: Annotated[int, Field(ge=1, le=256)] | None = None


class KmeansSettings(SegmenterSettings):
    """Stand-in for semantic masks: clusters of the teacher's features over the data set.

    Attributes:
        n_ids: Clusters; an id means the same in every image.
    """

    n_ids: Annotated[int, Field(ge=2)] = 17


class RegionsSettings(SegmenterSettings):
    """Stand-in for class-agnostic instances: connected regions of one cluster in an image.

    Attributes:
        n_clusters: Clusters of the teacher's features over the data set.
        least_share: Of the image's pixels; a smaller region is no segment.
        most: Regions per image at most, the largest ones.
    """

    n_clusters: Annotated[int, Field(ge=2)] = 32
    least_share: Annotated[float, Field(ge=0, lt=1)] = 0.001
    most: Annotated[int, Field(ge=1, le=65_535)] = 255


class SegmenterCard(BaseModel):
    """What is known of a segmenter before its code is loaded.

    Attributes:
        name: The id that recipes use.
        title: In words.
        version: Raise it when its ids change on purpose.
        implementation: ``"module:Class"`` of a built-in one, the class of a plug-in.
        settings: Its frozen settings class.
        needs: What it reads beside the image: cached ``features`` of the teacher, or ``files``
            below the data root.
        stand_in: For what tables say where it stands in for published masks; empty: it does not.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    version: int = 1
    implementation: str | type[Any]
    settings: type[BaseModel]
    needs: Literal["pixels", "features", "files"] = "pixels"
    stand_in: str = ""


_HERE = "lima_bench.lima.segmenters"

SEGMENTERS: Registry[SegmenterCard] = Registry("segmenter")
for _card in (
    SegmenterCard(
        name="slic",
        title="SLIC superpixels",
        implementation=f"{_HERE}.slic:Slic",
        settings=SlicSettings,
    ),
    SegmenterCard(
        name="folder",
        title="masks from files",
        implementation=f"{_HERE}.folder:MaskFolder",
        settings=FolderSettings,
        needs="files",
    ),
    SegmenterCard(
        name="kmeans",
        title="clusters of the teacher's features",
        implementation=f"{_HERE}.clusters:Classes",
        settings=KmeansSettings,
        needs="features",
        stand_in="k-means of the teacher's features",
    ),
    SegmenterCard(
        name="regions",
        title="connected regions of the teacher's features",
        implementation=f"{_HERE}.clusters:Regions",
        settings=RegionsSettings,
        needs="features",
        stand_in="connected regions of k-means of the teacher's features",
    ),
):
    SEGMENTERS.add(_card.name, _card)


S = TypeVar("S", bound=type[Any])


def register_segmenter(
    name: str, *, version: int, settings: type[BaseModel] = SegmenterSettings, title: str = ""
) -> Callable[[S], S]:
    """Class decorator of plug-ins: make a segmenter known as `name`.

    The class is made as ``cls(settings)`` and called as ``segmenter(pixels)`` with an RGB image,
    uint8 (rows, columns, 3); it returns ids (rows, columns) from 0, -1 where there is no segment.
    An attribute ``n_ids`` says how many ids there are, where that is fixed, as with classes.

    Args:
        name: The id that recipes use.
        version: Raise it when its ids change on purpose.
        settings: A frozen pydantic model with a default for every field.
        title: In words; the name if empty.

    Raises:
        UserError: The name is taken.
    """

    def register(cls: S) -> S:
        card = SegmenterCard(
            name=name, title=title or name, version=version, implementation=cls, settings=settings
        )
        SEGMENTERS.add(name, card)
        return cls

    return register

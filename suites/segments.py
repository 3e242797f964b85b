"""Which superpixels a row reads: its method's kind, its recipe's source -> the job. Pure.

Offers `Segmentation` and `mask_problem`. Used by `lima_bench.suites.chain` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.segmenters.catalogue import SEGMENTERS, SegmenterCard

KINDS = {"semantic": "semantic masks", "instances": "masks of instances"}
"""Kinds that a recipe says the source of."""


@dataclass(frozen=True)
class Segmentation:
    """A segmenter with its settings, as one row uses it.

    Attributes:
        kind: ``slic``, ``semantic`` or ``instances``.
        card: The segmenter.
        settings: All of them.
    """

    kind: str
    card: SegmenterCard
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, method: MethodCard, recipe: Mapping[str, Any]) -> Self | None:
        """What `recipe` gives to `method`; None if it needs no superpixels, or gets none."""
        if "superpixels" not in method.needs:
            return None
        slic: dict[str, Any] = {
            "segmenter": "slic",
            "settings": {"n_segments": recipe["superpixels"]},
        }
        chosen = slic if method.segments == "slic" else recipe[method.segments]
        if chosen is None:
            return None
        card = SEGMENTERS.get(chosen["segmenter"])
        settings = card.settings.model_validate(chosen["settings"]).model_dump(mode="json")
        return cls(method.segments, card, settings)

    @property
    def folder(self) -> str:
        """Where its files lie below the data root; empty if it reads none."""
        return str(self.settings["path"]) if self.card.needs == "files" else ""

    def config(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """What enters the key: files by their content, never by their place.

        Args:
            digests: Of folders of masks.
        """
        settings = dict(self.settings)
        config = {
            "kind": self.kind,
            "segmenter": self.card.name,
            "version": self.card.version,
            "settings": settings,
        }
        if self.folder:
            config["files"] = digests[settings.pop("path")]
        return config

    @property
    def runtime(self) -> dict[str, Any]:
        """What the work needs beside the config."""
        return {"path": self.folder} if self.folder else {}


def mask_problem(
    method: MethodCard, segments: Segmentation | None, masks: Mapping[str, str]
) -> str:
    """Why a method gets no superpixels; empty if it gets them or needs none.

    Args:
        method: Its card.
        segments: What cuts its images.
        masks: Folders of masks that are there, to their digests.
    """
    if "superpixels" not in method.needs:
        return ""
    if segments is None:
        return f"no masks: the recipe names no source of {KINDS[method.segments]}"
    if segments.card.needs == "features" and "features" not in method.needs:
        return f"no masks: {segments.card.name} needs a teacher's features"
    if segments.folder and segments.folder not in masks:
        return f"no masks: {segments.folder} does not lie below the data root"
    return ""

"""A share of the nuScenes labels for mmdetection3d: its info files, cut to some of the frames.

Offers `write_share` and `Written`. Frames are those that `lima_bench.datasets.label_shares` names,
the same as in our own runs; the database of objects that are pasted is cut to the same frames
(detection 5.4). Statistics of CBGS then come from them as well.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.label_shares import DETECTION, LabelShare, convention_of, resolve
from lima_bench.datasets.pickles import read_pickle

INFOS, OBJECTS = "nuscenes_infos_{}.pkl", "nuscenes_dbinfos_{}.pkl"
_HOW = "Write it with mmdetection3d 1.x: python tools/create_data.py nuscenes ..."


@dataclass(frozen=True)
class Written:
    """What was written for one share.

    Attributes:
        label: What ``LIMA_BENCH_LABELS`` is to be: ``train_5``.
        share: Its frames; the digest tells it from others.
        n_sequences: Scenes that they come from.
        files: Annotations, then objects.
        n_objects: By class, objects that may be pasted.
    """

    label: str
    share: LabelShare
    n_sequences: int
    files: tuple[Path, Path]
    n_objects: Mapping[str, int]


def write_share(root: Path, share: str) -> Written:
    """Cut mmdetection3d's training files to a share of the labels, beside the whole ones.

    Args:
        root: nuScenes, with ``nuscenes_infos_train.pkl`` and ``nuscenes_dbinfos_train.pkl``.
        share: ``5%``, by the card's rule for detection, or with a rule: ``5%@stride``.

    Raises:
        UserError: A file is missing or is none of mmdetection3d's, lacks frames of the share, or
            the share has no object of some class: its sampler cannot draw from nothing.
    """
    chosen = _share(root, share)
    infos = _read(root / INFOS.format("train"), "data_list")
    rows = infos["data_list"]
    kept = _positions(root / INFOS.format("train"), rows, chosen)
    objects = _objects(root / OBJECTS.format("train"), frozenset(kept))
    label = _label(chosen)
    files = root / INFOS.format(label), root / OBJECTS.format(label)
    for path, content in (
        (files[0], {**infos, "data_list": [rows[i] for i in kept]}),
        (files[1], objects),
    ):
        write_atomic(path, pickle.dumps(content, protocol=4))
    return Written(
        label=label,
        share=chosen,
        n_sequences=len({frame.sequence for frame in chosen.frames}),
        files=files,
        n_objects={name: len(found) for name, found in objects.items()},
    )


def _share(root: Path, share: str) -> LabelShare:
    dataset = open_dataset("nuscenes")
    if "@" not in share:
        share = f"{share}@{convention_of(dataset.card, DETECTION)}"
    return resolve(dataset.card, dataset.frames(root, "train"), share)


def _label(share: LabelShare) -> str:
    """``train_5`` under the card's own rule; others say theirs."""
    amount, own = share.name.partition("%")[0], open_dataset("nuscenes").card.label_shares
    rule = "" if share.convention == own.get(DETECTION) else f"_{share.convention}"
    return f"train_{amount}{rule}"


def _read(path: Path, key: str | None = None) -> dict[str, Any]:
    """A table that mmdetection3d has pickled; nothing of it is run."""
    loaded = read_pickle(path)
    if not isinstance(loaded, dict) or (key is not None and not isinstance(loaded.get(key), list)):
        raise UserError(path, "This is no info file of mmdetection3d 1.x.", _HOW)
    return loaded


def _positions(path: Path, rows: Sequence[Mapping[str, Any]], share: LabelShare) -> list[int]:
    """Which rows are frames of the share, in the file's order."""
    wanted = {frame.alias for frame in share.frames}
    kept = [i for i, row in enumerate(rows) if row.get("token") in wanted]
    if len(kept) < len(wanted):
        what = f"It holds {len(kept)} of the {len(wanted)} frames of {share.name}."
        raise UserError(path, what, f"It was made of other data. {_HOW}")
    return kept


def _objects(path: Path, frames: frozenset[int]) -> dict[str, list[dict[str, Any]]]:
    """The objects of these frames; theirs are numbered by their row in the whole info file."""
    kept = {
        name: [_as_arrays(one) for one in found if one["image_idx"] in frames]
        for name, found in _read(path).items()
    }
    absent = [name for name, found in kept.items() if not found]
    if absent or not kept:
        what = f"The share has no object of {', '.join(absent) or 'any class'}."
        how = "mmdetection3d's sampler cannot draw from nothing: take a larger share."
        raise UserError(path, what, how)
    return kept


def _as_arrays(one: Mapping[str, Any]) -> dict[str, Any]:
    """An object as mmdetection3d keeps it, which stacks boxes."""
    return {**one, "box3d_lidar": np.asarray(one["box3d_lidar"], dtype=np.float32)}

"""The frames that a job reads: from the world that was rendered, or from files below the data root.

Offers `source_of`, `part_of`, `labelled_source` and `data_folder`; for `lima_bench.suites.stages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lima_bench.datasets.api import Swept, base_of, open_dataset
from lima_bench.datasets.join import joined
from lima_bench.datasets.sample import Source
from lima_bench.suites.job import world_role
from lima_bench.suites.work import Context


def source_of(context: Context, role: str) -> Source:
    """Frames of the split that serves `role` (``pretrain``, ``train``, ``val``), and their loader.

    Where the job reads several data sets, their frames stand one after the other.

    Raises:
        UserError: The data is not there or broken.
    """
    data = context.job.config["data"]
    parts = [data] if isinstance(data, Mapping) else data
    return joined({part["dataset"]: part_of(context, part, role) for part in parts})


def part_of(context: Context, part: Mapping[str, Any], role: str) -> Source:
    """One data set's frames of the split that serves `role`.

    Raises:
        UserError: The data is not there or broken.
    """
    name = part["dataset"]
    reader = open_dataset(name)
    frames = reader.frames(data_folder(context, name), part["splits"][role])
    sweeps = reader.sweeps if isinstance(reader, Swept) else None
    return Source(reader.card, frames, reader.load, sweeps=sweeps)


def data_folder(context: Context, name: str) -> Path:
    """Where the files of a data set lie: in the world that was rendered, or below the data root."""
    base = base_of(name)
    made = context.artifacts.get(world_role(base), context.data)
    assert made is not None  # a job over files is only made where there is a data root
    return made / base


def labelled_source(context: Context) -> tuple[Source, str]:
    """The frames that the job may learn from, and the digest of their list.

    Raises:
        UserError: The share selects nothing, or its list is not there.
    """
    from lima_bench.datasets.label_shares import resolve
    from lima_bench.datasets.share_lists import folder_of

    config = context.job.config
    labels = config["labels"]
    everything = source_of(context, "train")
    name = "@".join(part for part in (labels["share"], labels["convention"]) if part)
    lists = folder_of(data_folder(context, config["data"]["dataset"]))
    share = resolve(everything.card, everything.frames, name, lists=lists)
    return replace(everything, frames=share.frames), share.digest

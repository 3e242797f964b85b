"""What the official kit calls our splits: its own names, or lists beside the tables.

Offers `kit_split` and `write_kit_splits`. The kit ties its names to versions (``val`` to
``v1.0-trainval``) and looks any other name up in the version's ``splits.json`` (devkit 1.2.0,
``utils/splits.py``); one of its own names there would not be heard.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

FILE = "splits.json"


def kit_split(tables: Path, split: str, scenes: Collection[str]) -> str:
    """The kit's name of a split: that of a list with the same scenes, if there is one beside.

    Whether the kit takes the name is for who calls it to ask.

    Args:
        tables: The version folder.
        split: Our name.
        scenes: What belongs to it.
    """
    path = tables / FILE
    if not path.is_file():
        return split
    listed: Mapping[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    same = [name for name, names in listed.items() if frozenset(names) == frozenset(scenes)]
    return split if split in same else next(iter(same), split)


def write_kit_splits(tables: Path, splits: Mapping[str, Collection[str]], prefix: str) -> None:
    """List splits beside the tables, as ``<prefix>_<split>``."""
    named = {f"{prefix}_{split}": list(scenes) for split, scenes in splits.items()}
    (tables / FILE).write_text(json.dumps(named), encoding="utf-8")

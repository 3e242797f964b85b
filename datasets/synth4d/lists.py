"""Which frames of Synth4D belong to a split: the authors' lists, pickled or as JSON.

Offers `read_list`, `write_list` and `list_files`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lima_bench.common.errors import UserError
from lima_bench.datasets.pickles import read_pickle

PROTOCOL = 4


def list_files(root: Path, set_name: str, name: str) -> tuple[Path, Path]:
    """Where the list `name` of a set may lie: as JSON, which is read first, and as a pickle."""
    folder = root / "splits" / set_name
    return folder / f"{name}.json", folder / f"{name}.pkl"


def read_list(root: Path, set_name: str, name: str) -> dict[str, tuple[str, ...]]:
    """Town to the names of its frames, sorted as strings.

    Raises:
        UserError: There is no list, it wants code, or it is no table of frame names.
    """
    as_json, as_pickle = list_files(root, set_name, name)
    path = as_json if as_json.is_file() else as_pickle
    if not path.is_file():
        raise UserError(
            as_pickle,
            "The list of frames is missing.",
            "Unpack the authors' archive of training and validation splits to splits/, or write "
            f'{as_json.name} here, as {{"Town03": ["000000", "000001"]}}.',
        )
    lists = _read_json(path) if path == as_json else read_pickle(path)
    try:
        return {_name(town): _names(lists[town]) for town in lists}
    except (TypeError, ValueError) as error:
        raise UserError(
            path,
            f"This is no table of towns and names of their frames: {error}.",
            'It has the form {"Town03": ["000000", "000001"]}.',
        ) from error


def write_list(root: Path, set_name: str, name: str, frames: Mapping[str, Sequence[str]]) -> None:
    """Write a list as the authors do, a pickled dictionary of lists."""
    path = list_files(root, set_name, name)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {town: list(names) for town, names in frames.items()}
    path.write_bytes(pickle.dumps(plain, protocol=PROTOCOL))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(path, f"This is not JSON: {error}.", "Mend or remove the file.") from error


def _names(values: object) -> tuple[str, ...]:
    """The names of a town's frames, sorted.

    Raises:
        ValueError: It is no list of names.
    """
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise ValueError(f"{values!r} is no list")
    return tuple(sorted(map(_name, values)))


def _name(value: object) -> str:
    """A town's or frame's name, which is part of a path; numbers are written as they are.

    Raises:
        ValueError: It is something else, or leads to another folder.
    """
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no name")
    name = str(value)
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is no plain name")
    return name

"""Which sequences a split has: from the card, or from a ``splits.json`` at the data root.

Offers `known_splits`, `sequences_of`, `write_splits` and the warning `IncompleteData`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lima_bench.common.errors import UserError, nearest, unknown_name
from lima_bench.datasets.card import Card

FILE = "splits.json"


class IncompleteData(UserWarning):
    """Only a part of a published split lies on disk."""


def known_splits(card: Card, root: Path) -> Mapping[str, tuple[str, ...]]:
    """Split to sequences. A ``splits.json`` replaces the card's splits altogether.

    It replaces them because sequence names of other data may equal published ones.

    Raises:
        UserError: The file is not a JSON object of lists of names.
    """
    path = root / FILE
    if not path.is_file():
        return card.splits
    try:
        lists = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(path, f"This is not JSON: {error}.", "Mend or remove the file.") from error
    if not _is_lists_of_names(lists):
        raise UserError(
            path,
            "Splits are an object of lists of sequence names.",
            'For example {"train": ["scene-0001"], "val": ["scene-0002"]}.',
        )
    return {name: tuple(sequences) for name, sequences in lists.items()}


def sequences_of(card: Card, root: Path, split: str, present: Collection[str]) -> tuple[str, ...]:
    """The sequences of `split` that lie on disk, in the split's order.

    Args:
        card: Of the data set.
        root: Its data root.
        split: The split's name.
        present: Sequences on disk.

    Raises:
        UserError: There is no such split, none of it is on disk, or a ``splits.json`` names a
            sequence that is not.

    Warns:
        IncompleteData: Some sequences of a published split are not on disk.
    """
    splits = known_splits(card, root)
    if split not in splits:
        raise unknown_name(root, f"{card.name} split", split, splits)
    wanted, here = splits[split], frozenset(present)
    missing = [name for name in wanted if name not in here]
    if missing and (root / FILE).is_file():
        raise _unknown_sequence(root / FILE, split, missing[0], here)
    if len(missing) == len(wanted):
        raise UserError(
            root,
            f"None of the {len(wanted)} sequences of {card.title} {split} lies here.",
            "Download that part of the data, or list what you have in a splits.json here.",
        )
    if missing:
        warnings.warn(
            f"{root}: {len(wanted) - len(missing)} of {len(wanted)} sequences of {card.title} "
            f"{split} lie here; the others are left out.",
            IncompleteData,
            stacklevel=2,
        )
    return tuple(name for name in wanted if name in here)


def write_splits(
    root: Path, sequences: Iterable[tuple[str, str]], pretrain: Collection[str]
) -> None:
    """Write the ``splits.json`` of a data root.

    Args:
        root: The data root.
        sequences: Name and split of every sequence, in order.
        pretrain: Those of split ``train`` that also form the split ``pretrain``.
    """
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for name, split in sequences:
        splits.setdefault(split, []).append(name)
    strange = set(pretrain) - set(splits["train"])
    if strange:
        raise ValueError(f"not in split train, so not for pretraining: {sorted(strange)}")
    splits["pretrain"] = [name for name in splits["train"] if name in pretrain]
    (root / FILE).write_text(json.dumps(splits, indent=1))


def _is_lists_of_names(value: object) -> bool:
    """Whether `value` has the form of a splits file."""
    return isinstance(value, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in value.values()
    )


def _unknown_sequence(path: Path, split: str, name: str, present: Collection[str]) -> UserError:
    """The error for a listed sequence that is not on disk."""
    guess = nearest(name, present)
    hint = f' Did you mean "{guess}"?' if guess else ""
    return UserError(
        f"{path}: {split}",
        f'There is no sequence "{name}" on disk.{hint}',
        "List only sequences that lie here.",
    )

"""Published lists of labelled frames, read from where the user put them.

Offers `folder_of`, `list_file` and `listed_frames`. A list is a text file with one scan a line, as
PJLab-ADG/OpenPCSeg ships them (``pcseg/data/split/<set>/<set>_1pct.txt``): a path whose last parts
are ``<sequence>/velodyne/<scan>.bin``, or a token (nuScenes: of the sample, as ldkong1205/LaserMix
looks them up). Such a file is copied as it is to
``<data>/<data set>/label_shares/lasermix-list/``; its name ends with ``_<percent>pct.txt``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Frame

FOLDER = "label_shares"
CONVENTION = "lasermix-list"
SOURCE = "PJLab-ADG/OpenPCSeg, folder pcseg/data/split"


def folder_of(root: Path) -> Path:
    """Where lists lie below the root of a data set."""
    return root / FOLDER


def list_file(lists: Path | None, percent: float) -> Path | None:
    """The list of that share, if it lies in the folder `lists`.

    Raises:
        UserError: There are two.
    """
    ending = f"_{percent:g}pct.txt"
    found = sorted((lists / CONVENTION).glob(f"*{ending}")) if lists else []
    if len(found) > 1:
        names = " and ".join(path.name for path in found[:2])
        raise UserError(found[0].parent, f"{names} both claim to be the list.", "Keep one of them.")
    return found[0] if found else None


def listed_frames(
    frames: Sequence[Frame], lists: Path | None, percent: float, where: str
) -> list[Frame]:
    """Those of `frames` that the published list of a share names, in the order of `frames`.

    Their order is the data set's and not the list's, so that lists of equal frames are equal.

    Args:
        frames: Every frame of the split.
        lists: As `folder_of` tells.
        percent: The share.
        where: What asks, for errors.

    Raises:
        UserError: There is no list, it is empty or no text, or it names a scan twice or one that is
            not among `frames`.
    """
    path = list_file(lists, percent)
    if path is None:
        place = lists / CONVENTION if lists else f"<data>/<data set>/{FOLDER}/{CONVENTION}"
        what = f"There is no file *_{percent:g}pct.txt in {place}."
        raise UserError(where, what, f"Put the list there as it is published: {SOURCE}.")
    wanted = Counter(_name(line) for line in _lines(path))
    known = {name for frame in frames for name in (frame.id, frame.alias)}
    _refuse(path, wanted, known, len(frames))
    return [frame for frame in frames if frame.id in wanted or frame.alias in wanted]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"This list cannot be read: {error}."
        raise UserError(path, what, f"Get it again: {SOURCE}.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(path, "This list is empty.", f"Get it again: {SOURCE}.")
    return lines


def _name(line: str) -> str:
    """``.../03/velodyne/000126.bin`` to ``03/000126``; a token to itself."""
    path = PurePosixPath(line)
    return f"{path.parts[-3]}/{path.stem}" if len(path.parts) > 2 else line


def _refuse(path: Path, wanted: Counter[str], known: set[str], n_frames: int) -> None:
    """Refuse a list that names a scan twice or one that is not there."""
    twice = [name for name, count in wanted.items() if count > 1]
    if twice:
        what = f"The list names {twice[0]} {wanted[twice[0]]} times."
        raise UserError(path, what, f"Get it again: {SOURCE}.")
    strange = [name for name in wanted if name not in known]
    if strange:
        raise UserError(
            path,
            f"{len(strange)} of {len(wanted)} scans of the list are not among the {n_frames} "
            f"frames of the split, {strange[0]} first.",
            "Get the whole split, or the list of this data set; the built-in world has no lists.",
        )

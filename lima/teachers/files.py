"""Where a teacher's weights lie, and whether they are the published ones. Light: no torch.

Offers `find_weights`, `weights_digest`, `timm_names` and the environment variable's name,
`WEIGHTS_VARIABLE`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import file_digest
from lima_bench.lima.teachers.catalogue import TIMM, TeacherCard

WEIGHTS_VARIABLE = "LIMA_BENCH_WEIGHTS"
"""The environment variable that names the folder of downloaded weights."""

_OWN = ".safetensors"
_TIMM_FILE = "timm--"


def find_weights(card: TeacherCard, folder: Path | None = None) -> Path:
    """The file of `card`: shipped, or in `folder` (else in the folder of `WEIGHTS_VARIABLE`).

    Beside the published name, the same name ending in ``.safetensors`` is taken: converted or
    own weights, whose content is not compared with the published hash.

    Raises:
        UserError: The teacher is not built, or its file is not there; tells where to get it.
    """
    if not card.implementation:
        raise UserError(f"teacher {card.name}", card.missing, "Choose another teacher.")
    if card.shipped:
        return Path(__file__).parent / card.file
    places = _places(card, folder)
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        places[0] if places else f"teacher {card.name}",
        f"The weights of {card.title} are not here: {card.file}" + _printed_digest(card) + ".",
        f"Get {card.file} from {card.source}, put it into a folder and set "
        f"{WEIGHTS_VARIABLE} to that folder; or run without it: --only '*tiny*'.",
    )


def _places(card: TeacherCard, folder: Path | None) -> list[Path]:
    chosen = folder or _named_folder()
    if chosen is None:
        return []
    chosen = chosen.expanduser()
    return [chosen / name for name in dict.fromkeys((card.file, _own_name(card)))]


def _named_folder() -> Path | None:
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named).expanduser() if named else None


def timm_file(name: str) -> str:
    """How the weights of the model that timm calls `name` are called in the weights folder."""
    return f"{_TIMM_FILE}{name}{_OWN}"


def timm_names(folder: Path | None = None) -> tuple[str, ...]:
    """The teachers ``timm:NAME`` whose weights lie in `folder` (else the environment's)."""
    chosen = folder or _named_folder()
    found = sorted(chosen.glob(timm_file("*"))) if chosen else []
    return tuple(TIMM + file.name.removeprefix(_TIMM_FILE).removesuffix(_OWN) for file in found)


def _own_name(card: TeacherCard) -> str:
    """How weights of one's own are called, whose content nobody printed."""
    if card.file.endswith(_OWN):
        return card.file
    return card.file.split(".")[0] + _OWN


def _printed_digest(card: TeacherCard) -> str:
    if card.sha256:
        return f", SHA-256 {card.sha256}"
    return f", MD5 {card.md5}…" if card.md5 else ""


def weights_digest(card: TeacherCard, folder: Path | None = None) -> str:
    """SHA-256 of the weights that `find_weights` finds; enters the key of cached features.

    Raises:
        UserError: As `find_weights`, or the file under the published name has other content.
    """
    path = find_weights(card, folder)
    found = file_digest(path)
    if path.name != card.file:
        return found
    if card.sha256 and found != card.sha256:
        raise _other_content(card, path, f"SHA-256 {found}, expected {card.sha256}")
    if card.md5 and not (seen := _md5(path)).startswith(card.md5):
        raise _other_content(card, path, f"MD5 {seen}, expected {card.md5}…")
    return found


def _md5(path: Path) -> str:
    """Tells a damaged or mistaken file; no protection against a forged one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _other_content(card: TeacherCard, path: Path, difference: str) -> UserError:
    return UserError(
        path,
        f"This is not the published file: {difference}.",
        f"Get it again; weights of your own may lie there as {_own_name(card)}.",
    )

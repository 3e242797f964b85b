"""Where a teacher's weights lie, and whether they are the published ones. Light: no torch.

Offers `find_weights`, `weights_digest` and the environment variable's name, `WEIGHTS_VARIABLE`.
"""

from __future__ import annotations

import os
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import file_digest
from lima_bench.lima.teachers.catalogue import TeacherCard

WEIGHTS_VARIABLE = "LIMA_BENCH_WEIGHTS"
"""The environment variable that names the folder of downloaded weights."""


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
        f"The weights of {card.title} are not here: {card.file}"
        + (f", SHA-256 {card.sha256}" if card.sha256 else "")
        + ".",
        f"Get {card.file} from {card.source}, put it into a folder and set "
        f"{WEIGHTS_VARIABLE} to that folder; or run without it: --only '*tiny*'.",
    )


def _places(card: TeacherCard, folder: Path | None) -> list[Path]:
    chosen = folder or (Path(named) if (named := os.environ.get(WEIGHTS_VARIABLE)) else None)
    if chosen is None:
        return []
    chosen = chosen.expanduser()
    return [chosen / card.file, chosen / f"{card.file.split('.')[0]}.safetensors"]


def weights_digest(card: TeacherCard, folder: Path | None = None) -> str:
    """SHA-256 of the weights that `find_weights` finds; enters the key of cached features.

    Raises:
        UserError: As `find_weights`, or the file under the published name has other content.
    """
    path = find_weights(card, folder)
    found = file_digest(path)
    if card.sha256 and path.name == card.file and found != card.sha256:
        raise UserError(
            path,
            f"This is not the published file: SHA-256 {found}, expected {card.sha256}.",
            "Get it again; weights of your own may lie there as "
            f"{card.file.split('.')[0]}.safetensors.",
        )
    return found

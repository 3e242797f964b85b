"""Files that are whole or absent: written beside their place, then renamed into it.

Offers `write_atomic`, `writable` and `filling` (a folder that appears only when complete).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lima_bench.common.errors import UserError

_REMEDY = {
    errno.ENOSPC: ("The disk is full.", "Free some space, then run the same command again."),
    errno.EROFS: ("This place is read-only.", "Choose another one: --store DIR."),
    errno.EACCES: ("You may not write here.", "Choose another place: --store DIR."),
    errno.EPERM: ("You may not write here.", "Choose another place: --store DIR."),
    errno.EEXIST: ("A file stands where a folder is needed.", "Choose another: --store DIR."),
    errno.ENOENT: ("This place cannot be made.", "Choose another one: --store DIR."),
    errno.ENOTDIR: ("A file stands where a folder is needed.", "Choose another: --store DIR."),
}


def _on_the_way(name: object, path: Path) -> bool:
    """Whether what is absent is `path` or one of its parents, not a file read on the side."""
    return isinstance(name, str) and Path(name) in (path, *path.parents)


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the ways in which writing to `path` fails into a `UserError` with its remedy."""
    try:
        yield
    except OSError as error:
        absent = error.errno == errno.ENOENT
        if error.errno not in _REMEDY or (absent and not _on_the_way(error.filename, path)):
            raise
        what, how = _REMEDY[error.errno]
        raise UserError(path, what, how) from error


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that readers see the old one, the new one, or none.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    data = content.encode() if isinstance(content, str) else content
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o644)  # a store may be shared; the draft is private
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and vanishes if not.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            yield draft
            draft.chmod(0o755)
            if not folder.exists():
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

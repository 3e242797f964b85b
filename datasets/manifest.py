"""What lies on disk, as one digest: it enters the key of every job that reads the data.

Offers `manifest_digest`. Lists and tables count by content, recordings by name and size: reading
terabytes to name a job would cost more than most jobs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import digest, file_digest


def manifest_digest(root: Path, *, contents: Iterable[Path], sizes: Iterable[Path]) -> str:
    """SHA-256 of a data root; the same wherever the root lies.

    Args:
        root: The data root; names count relative to it.
        contents: Files that count by content; one that does not exist counts as absent.
        sizes: Folders whose files, at any depth, count by name and size.

    Raises:
        UserError: The root does not exist.
    """
    if not root.is_dir():
        raise UserError(
            root,
            "This folder does not exist.",
            "Say where the data lies with --data DIR or LIMA_BENCH_DATA.",
        )
    texts = {_name(root, path): _content(path) for path in contents if path.is_file()}
    files = {
        _name(root, Path(entry.path)): entry.stat().st_size
        for folder in sizes
        if folder.is_dir()
        for entry in _walk(folder)
    }
    return digest({"contents": texts, "sizes": files})


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every file below `folder`; hidden ones are not part of any data set."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path))
            else:
                yield entry


def _content(path: Path) -> str:
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """The file's digest; `size` and `changed_ns` make an edited file a new question."""
    del size, changed_ns
    return file_digest(path)

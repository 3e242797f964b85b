"""Where finished jobs are kept: one JSON file per record, artifacts beside it under the same key.

Offers `Store`. Layout: ``<stage>/<key[:2]>/<key>.json`` (records), ``artifacts/<key>/``,
``partial/<key>/`` (unfinished work), ``locks/``, ``sacred/<key>/``, ``tables/``,
``adopted/NAME/`` (outside checkpoints), ``store.json`` (the layout's number). Any number of
processes may use one store at once.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lima_bench.common.errors import UserError
from lima_bench.common.files import writable, write_atomic
from lima_bench.common.locks import locked
from lima_bench.results import record as records
from lima_bench.results import upgrade
from lima_bench.results.record import Record

FORMAT = 1
"""Raised, with a step in `upgrade.LAYOUT_STEPS`, when the folders change."""

_RESERVED = frozenset({"adopted", "artifacts", "partial", "locks", "sacred", "tables"})
_STAGE = re.compile(r"[a-z][a-z0-9_]*")
_KEY = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE = "Choose another place: --store DIR."
_NEWER = "Upgrade it (pip install --upgrade lima-bench), or choose another place: --store DIR."
_AGAIN = "Delete this file; the next run does the job again."


@dataclass(frozen=True)
class Store:
    """A folder of records; make one with `Store.open`.

    Attributes:
        root: The folder.
    """

    root: Path

    @classmethod
    def open(cls, root: Path, *, write: bool = True) -> Store:
        """The store at `root`, made if need be.

        Args:
            root: Its folder; a new one or one that a store already fills.
            write: Whether results will be added. Without, nothing is touched: an absent folder
                is a store without records, and a read-only one can be shown.

        Raises:
            UserError: It is read-only, full, a file, a folder of other things, damaged, or was
                written by a newer version.
        """
        if root.exists() and not root.is_dir():
            raise UserError(root, "This is a file; a store is a folder.", _ELSEWHERE)
        if write:
            _prove_writable(root)
        marker = root / "store.json"
        if marker.exists():
            _bring_up(root, _read_format(marker), write=write)
        elif any(path for path in _listing(root) if not path.name.startswith(".")):
            what = "This folder holds other things and no store.json: it is no store."
            raise UserError(root, what, "Choose a new or empty folder: --store DIR.")
        elif write:
            _write_format(marker)
        return cls(root)

    def get(self, stage: str, key: str) -> Record | None:
        """The finished job of that key, None if it has not finished.

        Raises:
            UserError: The file is damaged, belongs to another job or to a newer version.
        """
        return _read_record(self.record_path(stage, key), stage, key)

    def put(self, record: Record) -> Path:
        """Keep a finished job; its file appears whole or not at all. Notes of failure go.

        Raises:
            UserError: The disk is full or the store read-only.
        """
        path = self.record_path(record.stage, record.key)
        write_atomic(path, records.to_text(record))
        self._failure_path(record.key).unlink(missing_ok=True)
        return path

    def records(self, stage: str | None = None) -> Iterator[Record]:
        """Every finished job, or those of one stage, in order of stage and key.

        Raises:
            UserError: A file is damaged.
        """
        for folder in _listing(self.root):
            if folder.name in _RESERVED or (stage is not None and folder.name != stage):
                continue
            for path in sorted(folder.glob("[0-9a-f][0-9a-f]/*.json")):
                found = _KEY.fullmatch(path.stem) and _read_record(path, folder.name, path.stem)
                if found:
                    yield found

    def record_path(self, stage: str, key: str) -> Path:
        """Where the record of that job lies or will lie."""
        if not _STAGE.fullmatch(stage) or stage in _RESERVED:
            raise ValueError(f"not a stage: {stage!r}")
        return self.root / stage / _checked(key)[:2] / f"{key}.json"

    def artifact(self, key: str) -> Path:
        """The folder of what a finished job left; it need not exist."""
        return self.root / "artifacts" / _checked(key)

    def partial(self, key: str) -> Path:
        """The folder in which an unfinished job keeps its state; it need not exist."""
        return self.root / "partial" / _checked(key)

    def clear_partial(self, key: str) -> None:
        """Forget the state of an unfinished job."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.partial(key))

    def sacred(self, key: str) -> Path:
        """The folder of sacred's observer for that job; it need not exist."""
        return self.root / "sacred" / _checked(key)

    @property
    def tables(self) -> Path:
        """The folder of written tables; it need not exist."""
        return self.root / "tables"

    def lock(self, key: str, *, wait: bool = False) -> contextlib.AbstractContextManager[bool]:
        """A context that yields whether this process alone may do the job `key`."""
        return locked(self.root / "locks" / f"{_checked(key)}.lock", wait=wait)

    def note_failure(self, key: str, reason: str) -> None:
        """Remember why a job failed, until it succeeds; `reason` is one line for the table."""
        write_atomic(self._failure_path(key), json.dumps({"reason": reason}) + "\n")

    def failure(self, key: str) -> str | None:
        """Why the job failed the last time, None if it did not fail since it last succeeded."""
        try:
            return str(json.loads(self._failure_path(key).read_text())["reason"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(self._failure_path(key), "This note is damaged.", _AGAIN) from error

    def _failure_path(self, key: str) -> Path:
        return self.partial(key) / "failure.json"


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a job key (64 hex digits): {key!r}")
    return key


def _listing(root: Path) -> list[Path]:
    return sorted(root.iterdir()) if root.is_dir() else []


def _prove_writable(root: Path) -> None:
    """Write a byte and remove it: permissions alone do not tell on network and overlay disks."""
    with writable(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root, prefix=".probe.") as probe:
            probe.write(b"\0")


def _read_format(marker: Path) -> int:
    try:
        number = json.loads(marker.read_text(encoding="utf-8"))["format"]
        if isinstance(number, int) and not isinstance(number, bool):
            return number
    except (ValueError, KeyError, TypeError, OSError):
        pass
    how = f'Write {{"format": {FORMAT}}} into it if it is one, or choose another: --store DIR.'
    raise UserError(marker, "This does not state a store's format number.", how)


def _write_format(marker: Path) -> None:
    write_atomic(marker, json.dumps({"format": FORMAT}) + "\n")


def _bring_up(root: Path, number: int, *, write: bool) -> None:
    """Raise an older layout to the current one, one process at a time."""
    if number == FORMAT:
        return
    if number > FORMAT:
        what = f"This store was written by a newer lima-bench (format {number}, known: {FORMAT})."
        raise UserError(root, what, _NEWER)
    if not write or any(n not in upgrade.LAYOUT_STEPS for n in range(number, FORMAT)):
        what = f"This store has the old format {number}; this version uses {FORMAT}."
        how = "lima-bench run raises it." if not write else "No step leads there: --store DIR."
        raise UserError(root, what, how)
    with locked(root / "locks" / "upgrade.lock", wait=True):
        for step in range(_read_format(root / "store.json"), FORMAT):
            upgrade.LAYOUT_STEPS[step](root)
        _write_format(root / "store.json")


def _read_record(path: Path, stage: str, key: str) -> Record | None:
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
        fresh = upgrade.upgraded(raw, to=records.FORMAT, steps=upgrade.RECORD_STEPS)
        record = records.from_fields(fresh)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except upgrade.NewerFormatError as error:
        raise UserError(path, f"Written by a newer lima-bench: {error}.", _NEWER) from error
    except ValueError as error:  # also JSONDecodeError and UnicodeDecodeError
        raise UserError(path, f"This record is damaged: {error}.", _AGAIN) from error
    except OSError as error:
        raise UserError(path, f"This record cannot be read: {error.strerror}.", _AGAIN) from error
    if (record.stage, record.key) != (stage, key):
        what = "This record lies in the wrong place: it belongs to another job."
        raise UserError(path, what, _AGAIN)
    return record

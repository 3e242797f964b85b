"""The rows of a JSON table, one after the other, whatever its size.

Offers `rows_of`. The real tables hold millions of rows and more than a gigabyte of text; parsed
whole they fill the memory of a small machine. Here a window moves over the text, and a row that
does not end in it is read again with more text: no guess is made about how a table is laid out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lima_bench.common.errors import UserError

REMEDY = "Get the metadata archive of this version again."
WINDOW = 1 << 20
"""Characters that are read at a time."""

Row = Mapping[str, Any]

_gap: Callable[[str, int], Any] = re.compile(r"[ \t\n\r]*").match
_comma: Callable[[str, int], Any] = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?={)").match
_scan: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]


def rows_of(path: Path, window: int = WINDOW) -> Iterator[Row]:
    """Each row of the table `path`, in file order.

    Args:
        path: A JSON list of objects, in UTF-8.
        window: Characters to read at a time.

    Raises:
        UserError: The file is missing, is not JSON, or is no list of rows.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Text(path, file, window).rows()
    except OSError as error:
        what = f"The table {path.stem} is missing or cannot be read."
        raise UserError(path, what, REMEDY) from error
    except UnicodeDecodeError as error:
        raise UserError(path, f"This table is not JSON: {error}.", REMEDY) from error


class _Text:
    """A window on a text, and where in it the parser stands."""

    def __init__(self, path: Path, file: TextIO, window: int) -> None:
        self._path, self._file, self._window = path, file, window
        self._text, self._at, self._line = "", 0, 1

    def rows(self) -> Iterator[Row]:
        """The elements of the list that the whole text is."""
        if self._next() != "[":
            raise self._no_list()
        self._at += 1
        mark = self._next()
        if mark == "]":
            self._at += 1
        while mark != "]":
            yield self._row()
            between = _comma(self._text, self._at)
            if between:
                self._at = between.end()
                continue
            mark = self._next()  # at the end of the window, of the list, or of what is right
            if mark not in (",", "]"):
                raise self._broken("Expecting ',' delimiter", self._at)
            self._at += 1
            self._next()
        if self._next():
            raise self._broken("Extra data", self._at)

    def _row(self) -> Row:
        """The row that begins where the parser stands."""
        step = self._window
        while True:
            try:
                row, end = _scan(self._text, self._at)
            except (json.JSONDecodeError, StopIteration) as error:
                # The row may only be cut off. Doubling keeps the work linear where it is broken.
                if self._more(step):
                    step *= 2
                    continue
                message, spot = getattr(error, "msg", "Expecting value"), self._at
                raise self._broken(message, getattr(error, "pos", spot)) from error
            if not isinstance(row, dict):
                raise UserError(self._path, "A table is a JSON list of rows.", REMEDY)
            self._at = end
            return row

    def _next(self) -> str:
        """The next character that means something; empty at the end of the text."""
        self._at = _gap(self._text, self._at).end()
        while self._at == len(self._text) and self._more(self._window):
            self._at = _gap(self._text, self._at).end()
        return self._text[self._at : self._at + 1]

    def _more(self, size: int) -> bool:
        """Forget what was parsed and read on; False at the end of the file."""
        new = self._file.read(size)
        if not new:
            return False
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + new, 0
        return True

    def _no_list(self) -> UserError:
        """The error for a text that does not begin as a list: not JSON, or something else."""
        try:
            json.loads(self._text[self._at :] + self._file.read())
        except ValueError as error:
            return UserError(self._path, f"This table is not JSON: {error}.", REMEDY)
        return UserError(self._path, "A table is a JSON list of rows.", REMEDY)

    def _broken(self, message: str, at: int) -> UserError:
        line = self._line + self._text.count("\n", 0, at)
        return UserError(self._path, f"This table is not JSON: {message}: line {line}.", REMEDY)

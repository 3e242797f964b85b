"""Errors that the user can mend: where it happened, what is wrong, how to go on.

Offers `UserError`, `unknown_name` and `nearest`. The command line prints a `UserError`
without a traceback and leaves with exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can fix.

    Args:
        where: The place: a file, ``file:line:column``, a record key, an option.
        what: What is wrong there, one sentence.
        how: How to go on, one sentence or a command.
    """

    def __init__(self, where: object, what: str, how: str = "") -> None:
        self.where, self.what, self.how = str(where), what, how
        super().__init__(str(self))

    def __str__(self) -> str:
        """The three parts, one a line."""
        lines = [self.where, *(f"  {part}" for part in (self.what, self.how) if part)]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        """Travel whole between processes."""
        return type(self), (self.where, self.what, self.how)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, if any is."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(where: object, kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that nothing has, with the nearest one that exists."""
    names = sorted(known)
    guess = nearest(name, names)
    what = f'There is no {kind} "{name}".' + (f' Did you mean "{guess}"?' if guess else "")
    return UserError(where, what, f"Known: {', '.join(names) or 'none'}")

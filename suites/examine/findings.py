"""What an examination of a data set has to say to the user: where, what, how to go on.

Offers `Finding` and `Findings`, the list that every check adds to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lima_bench.common.errors import UserError

Level = Literal["fault", "warning"]

MOST_ALIKE = 3
"""Broken frames of one split that are told one by one; what ails the others is mostly the same."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        level: ``fault`` if the user has to do something, ``warning`` if it may be right.
        where: A file, or a split.
        what: What is wrong there.
        how: How to go on.
    """

    level: Level
    where: str
    what: str
    how: str = ""


@dataclass
class Findings:
    """All that was found so far, each thing once."""

    all: list[Finding] = field(default_factory=list)

    def fault(self, where: object, what: str, how: str = "") -> None:
        """Note something that needs the user."""
        self._add(Finding("fault", str(where), what, how))

    def warning(self, where: object, what: str, how: str = "") -> None:
        """Note something that looks wrong but may be right."""
        self._add(Finding("warning", str(where), what, how))

    def error(self, error: UserError, level: Level = "fault") -> None:
        """Note what a reader refused."""
        self._add(Finding(level, error.where, error.what, error.how))

    def errors(self, place: str, errors: list[UserError]) -> None:
        """Note what a reader refused of the frames of `place`: some, then their number."""
        for error in errors[:MOST_ALIKE]:
            self.error(error)
        if len(errors) > MOST_ALIKE:
            more = len(errors) - MOST_ALIKE
            self.fault(
                place, f"{more} more of the frames looked at cannot be read.", errors[-1].how
            )

    @property
    def faults(self) -> list[Finding]:
        """What needs the user."""
        return [finding for finding in self.all if finding.level == "fault"]

    def _add(self, finding: Finding) -> None:
        if finding not in self.all:
            self.all.append(finding)

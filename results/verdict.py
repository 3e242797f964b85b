"""Our number against a reference number. Pure.

Offers `Verdict`, `State` (how far a cell has come), `judge` and `exit_code`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a cell says about its reference."""

    REPRODUCED = "reproduced"
    ABOVE = "above"
    BELOW = "below"
    LIMITED = "limited"
    STALE = "stale"
    MISSING = "missing"
    FAILED = "failed"
    NO_REFERENCE = "no-reference"


class State(StrEnum):
    """How far a cell has come.

    ``done``: every seed has a record of the current code. ``stale``: the code changed since.
    ``limited``: run on part of the data. ``disturbed``: a cost that was measured beside other
    work. ``missing``: not run yet. ``unavailable``: cannot run
    with this version or on this machine (method not built, data not there). ``reported``: only
    the publication has it. ``failed``: the job ended with an error.
    """

    DONE = "done"
    STALE = "stale"
    LIMITED = "limited"
    DISTURBED = "disturbed"
    MISSING = "missing"
    UNAVAILABLE = "unavailable"
    REPORTED = "reported"
    FAILED = "failed"


_UNJUDGED = {
    State.STALE: Verdict.STALE,
    State.LIMITED: Verdict.LIMITED,
    State.DISTURBED: Verdict.LIMITED,
    State.MISSING: Verdict.MISSING,
    State.UNAVAILABLE: Verdict.MISSING,
    State.REPORTED: Verdict.MISSING,
    State.FAILED: Verdict.FAILED,
}
_WRONG = frozenset({Verdict.ABOVE, Verdict.BELOW, Verdict.FAILED})
_OPEN = frozenset({Verdict.LIMITED, Verdict.STALE, Verdict.MISSING})


def judge(
    value: float | None,
    std: float | None,
    reference: float | None,
    *,
    tolerance: float,
    spread: float,
    state: State = State.DONE,
) -> Verdict:
    """Compare `value` with `reference`: the same if within max(tolerance, spread x std).

    Args:
        value: Our mean over seeds, None if there is none.
        std: Our sample standard deviation, None if unknown.
        reference: Their value, None if nobody states one.
        tolerance: In the score's unit.
        spread: How many of our standard deviations are allowed.
        state: What is not ``done`` is not compared.
    """
    if state is not State.DONE:
        return _UNJUDGED[state]
    if value is None:
        return Verdict.MISSING
    if reference is None:
        return Verdict.NO_REFERENCE
    allowed = max(tolerance, spread * (std or 0.0))
    gap = value - reference
    # Decimal inputs such as 8.4 - 8.1 miss 0.3 by a few bits.
    if abs(gap) <= allowed or math.isclose(abs(gap), allowed, rel_tol=1e-9):
        return Verdict.REPRODUCED
    return Verdict.ABOVE if gap > 0 else Verdict.BELOW


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """The answer of ``check``: 0 all fine, 1 a number differs or failed, 4 cells are open.

    Cells that cannot be run here (`State.UNAVAILABLE`, `State.REPORTED`) are the caller's to leave
    out: `Table.judged` does.
    """
    seen = set(verdicts)
    if seen & _WRONG:
        return 1
    return 4 if seen & _OPEN else 0

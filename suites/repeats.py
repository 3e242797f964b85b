"""A job that is repeated only to be measured has to give what its record says.

Offers `must_repeat`.
"""

from __future__ import annotations

from lima_bench.common.errors import UserError
from lima_bench.results.record import Record
from lima_bench.results.store import Store


def must_repeat(store: Store, made: Record, kept: Record) -> None:
    """A repeat that was only to be measured has to give what the record says, bit for bit.

    Raises:
        UserError: It gave something else, so its measures are not those of the record.
    """
    if made.fingerprint == kept.fingerprint:
        return
    pairs = {"checkpoint_digest": (made.details, kept.details)}
    pairs |= {name: (made.scores, kept.scores) for name in sorted({*made.scores, *kept.scores})}
    differing = [name for name, (new, old) in pairs.items() if new.get(name) != old.get(name)]
    path = store.record_path(kept.stage, kept.key)
    where = kept.measured.get("machine_class") or "a machine that was not noted"
    name = (differing or ["record"])[0]
    raise UserError(
        path,
        f'Repeated alone to measure its time, this job gave another "{name}" than its record, which'
        f" was made on {where}.",
        "Its measures were not taken over. Repeat it on that machine, or delete the record: the"
        " next run does the job, and all that reads it, here.",
    )

"""Scores of clean validation frames, and beside them how much of it corruptions take.

Offers `with_corrupted`.
"""

from __future__ import annotations

import re

from lima_bench.common.errors import UserError
from lima_bench.downstream.scores.result import Scores
from lima_bench.downstream.scores.robustness import robustness

_SCORE = re.compile(r"miou_(?P<corruption>[a-z_]+)-(?P<level>[a-z]+)")


def with_corrupted(clean: Scores, corrupted: Scores) -> Scores:
    """The clean scores with ``mce``, ``mrr`` and the mIoU of every corruption beside them.

    Args:
        clean: Of the validation frames.
        corrupted: Of their copies, with a score ``miou_<corruption>-<level>`` for each condition.

    Raises:
        UserError: A corruption or level is missing, so that a mean would be one over a part.
    """
    table: dict[str, dict[str, float]] = {}
    for name, value in corrupted.scores.items():
        if match := _SCORE.fullmatch(name):
            table.setdefault(match["corruption"], {})[match["level"]] = value
    try:
        result = robustness(table, clean.scores["miou"])
    except ValueError as error:
        how = "Download every corruption at every level, or generate them."
        raise UserError("corrupted validation frames", f"{error}.", how) from error
    means = {f"miou_{name}": sum(row.values()) / len(row) for name, row in table.items()}
    own = {"mce": result.mce, "mrr": result.mrr, **means}
    details = {
        "miou": table,
        "corruption_error": dict(result.corruption_error),
        "resilience": dict(result.resilience),
    }
    return Scores({**clean.scores, **own}, {**clean.details, "robustness": details})

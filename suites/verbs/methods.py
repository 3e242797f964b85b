"""``lima-bench list methods``: what each method sees, learns and needs. Loads nothing heavy.

Offers `method_lines` (aligned columns) and `method_object` (for programs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lima_bench.lima.methods.card import MethodCard
from lima_bench.results.notes import LEGEND, MARKS

_HEAD = ("id", "method", "frames", "teacher", "2D heads", "needs")
_NONE = "–"
_DAGGER = MARKS["reconstruction"]


def method_lines(cards: Mapping[str, MethodCard]) -> Iterator[str]:
    """A line per method below a header, then what the dagger means and what readers must know."""
    lines = [_HEAD, *(_cells(card) for _, card in sorted(cards.items()))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
    if any(card.reconstruction for card in cards.values()):
        yield f"{_DAGGER} {LEGEND['reconstruction']}"
    for name, card in sorted(cards.items()):
        if card.note:
            yield f"{name}: {card.note}"


def method_object(card: MethodCard) -> dict[str, Any]:
    """The facts of a method as JSON values; of one that is not built only what its paper says."""
    facts = {
        "name": card.name,
        "state": "" if card.is_built else "not built yet",
        "title": f"{card.title}, {card.venue}".rstrip(", "),
        "version": card.version,
        "frames": _frames(card),
        "frames_settable": _is_settable(card),
        "learns": card.learns,
        "reconstruction": card.reconstruction,
    }
    if not card.is_built:
        return facts
    return {
        **facts,
        "teacher": "features" in card.needs,
        "heads_2d": card.heads_2d,
        "needs": _needs(card),
        "order": card.order,
        "note": card.note,
    }


def _cells(card: MethodCard) -> tuple[str, ...]:
    dagger = _DAGGER if card.reconstruction else ""
    title = f"{card.title}{dagger}, {card.venue}".rstrip(", ")
    frames = f"{_frames(card) or _NONE}{_range(card)}"
    if not card.is_built:
        return (card.name, title, frames, "", "", "(not built yet)")
    teacher = "yes" if "features" in card.needs else _NONE
    needs = ", ".join(_needs(card)) or _NONE
    return (card.name, title, frames, teacher, card.heads_2d or _NONE, needs)


def _frames(card: MethodCard) -> int | None:
    """How many frames it sees unless told otherwise; None for a method that does not learn."""
    if not card.learns:
        return None
    return int(card.settings.model_fields["frames"].default) if _is_settable(card) else card.frames


def _is_settable(card: MethodCard) -> bool:
    return "frames" in card.settings.model_fields


def _range(card: MethodCard) -> str:
    """Which other numbers of frames its settings allow; nothing where they have none."""
    if not _is_settable(card):
        return ""
    bounds = card.settings.model_fields["frames"].metadata
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    return " (any)" if most is None else f" (1 to {most})"


def _needs(card: MethodCard) -> list[str]:
    """What it reads beside one scan and its images."""
    found = []
    for need in card.needs:
        kind = {"superpixels": card.segments, "clusters": card.clusters}.get(need, "")
        if need != "features":
            found.append(f"{need} ({kind.replace('_', ' ')})" if kind else need)
    if card.order == "streams":
        found.append("scenes in order of time")
    elif card.frames > 1:
        found.append("neighbouring keyframes")
    return found

"""Which labelled frames a share such as 1 % means: a named list with a convention and a digest.

Offers `LabelShare` and `resolve`. Public code selects a share by rules that do not agree and that
move scores by whole points, so the rule is part of a share's name:

- ``slidr-scene``: counts sequences in the data set's own order and keeps every r-th, whole
  (valeoai/SLidR ``downstream/dataloader_nuscenes.py``);
- ``slidr-stride``: sorts frames by (sequence, id) as strings and keeps every r-th, the first
  included (valeoai/SLidR ``downstream/dataloader_kitti.py``);

both with r = round(100 / percent): 100, 20, 10, 4 for 1, 5, 10, 25 %.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.hashing import digest
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Frame


@dataclass(frozen=True)
class LabelShare:
    """The labelled frames that a training run may use.

    Attributes:
        name: Share and convention, ``1%@slidr-scene``.
        convention: The rule's name.
        frames: The chosen frames.
        digest: SHA-256 of their ids in order; enters the key of every job that learns from them.
    """

    name: str
    convention: str
    frames: tuple[Frame, ...]
    digest: str


def resolve(card: Card, frames: Sequence[Frame], share: str) -> LabelShare:
    """The frames that `share` selects.

    Args:
        card: Says the convention of a share that names none.
        frames: Every frame of the split, in the data set's order.
        share: ``1%``, or with its convention ``1%@slidr-scene``.

    Raises:
        UserError: The share is not a percentage, its convention is unknown, or it selects nothing.
    """
    amount, _, convention = share.partition("@")
    step = _step(share, amount)
    convention = convention or _convention_of(card, amount)
    if convention not in CONVENTIONS:
        raise unknown_name(f"labels {share}", "label-share convention", convention, CONVENTIONS)
    chosen = tuple(CONVENTIONS[convention](frames, step))
    name = f"{amount}@{convention}"
    if not chosen:
        n_sequences = len(dict.fromkeys(frame.sequence for frame in frames))
        raise UserError(
            f"labels {name}",
            f"This share selects nothing: it keeps one of {step}, and {card.title} has "
            f"{n_sequences} sequences with {len(frames)} frames here.",
            "Ask for a larger share, or for another convention: "
            f"{', '.join(f'{amount}@{other}' for other in sorted(CONVENTIONS))}.",
        )
    return LabelShare(name, convention, chosen, digest([frame.id for frame in chosen]))


def _step(share: str, amount: str) -> int:
    """Of how many one is kept."""
    percent = float(amount[:-1]) if re.fullmatch(r"\d+(\.\d+)?%", amount) else 0.0
    if not 0 < percent <= 100:
        raise UserError(
            f"labels {share}",
            f'"{amount}" is not a share of the labels.',
            'Write a percentage above 0 and up to 100, as "1%" or "1%@slidr-scene".',
        )
    return round(100 / percent)


def _convention_of(card: Card, amount: str) -> str:
    """The card's convention for a share of this amount."""
    convention = card.label_shares.get(amount) or card.label_shares.get("default")
    if convention is None:
        raise UserError(
            f"{card.name} card: label_shares",
            f"The card has no convention for {amount} of the labels.",
            f'Add one to the card, or name it: "{amount}@{min(CONVENTIONS)}".',
        )
    return convention


def _every_scene(frames: Sequence[Frame], step: int) -> list[Frame]:
    """All frames of the step-th, 2 step-th, ... sequence, counted from 1 as they come."""
    number = {name: i for i, name in enumerate(dict.fromkeys(f.sequence for f in frames), start=1)}
    return [frame for frame in frames if number[frame.sequence] % step == 0]


def _every_frame(frames: Sequence[Frame], step: int) -> list[Frame]:
    """The first, (1 + step)-th, ... frame of those sorted by sequence and id."""
    return sorted(frames, key=lambda frame: (frame.sequence, frame.id))[::step]


CONVENTIONS: Mapping[str, Callable[[Sequence[Frame], int], list[Frame]]] = {
    "slidr-scene": _every_scene,
    "slidr-stride": _every_frame,
}

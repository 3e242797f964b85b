"""Which labelled frames a share such as 1 % means: a named list with a convention and a digest.

Offers `LabelShare`, `resolve` and `CONVENTIONS`. Public code selects a share by rules that do not
agree and that move scores by whole points, so the rule is part of a share's name:

- ``slidr-scene``: counts sequences in the data set's own order and keeps every r-th, whole
  (valeoai/SLidR ``downstream/dataloader_nuscenes.py``);
- ``detection-scene``: the same for detection, where no public text states a rule; 5, 10 and 20 %
  are nested;
- ``slidr-stride``: sorts frames by (sequence, id) as strings and keeps every r-th, the first
  included (valeoai/SLidR ``downstream/dataloader_kitti.py``);
- ``stride``: sorts frames by (sequence, position in it) and keeps every r-th, the first included;
  it differs from ``slidr-stride`` where names do not sort as time runs, ``9`` after ``10``;
- ``sequence``: the whole sequences that the card lists for the share;
- ``lasermix-list``: the frames of a published list (`lima_bench.datasets.share_lists`);

with r = round(100 / percent): 100, 20, 10, 5, 4, 2 for 1, 5, 10, 20, 25, 50 %.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.common.hashing import digest
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.share_lists import listed_frames

DETECTION = "detection"
"""Entry of a card's `label_shares` that names the convention for detection."""

NEAR = 0.05
"""By how much of itself a share may miss what one frame of every r makes, before it is refused."""


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


@dataclass(frozen=True)
class Question:
    """What a rule is asked.

    Attributes:
        card: Of the data set.
        frames: Every frame of the split, in the data set's order.
        amount: As written, ``1%``.
        percent: As a number.
        lists: Folder of published lists, if there may be any.
    """

    card: Card
    frames: Sequence[Frame]
    amount: str
    percent: float
    lists: Path | None

    @property
    def step(self) -> int:
        """Of how many one is kept.

        Raises:
            UserError: No whole number comes near the share.
        """
        step = round(100 / self.percent)
        is_whole = self.percent == 100
        if abs(100 / step - self.percent) > NEAR * self.percent or is_whole != (step == 1):
            raise UserError(
                f"labels {self.amount}",
                f"One of every {max(step, 2)} is kept, which is {100 / max(step, 2):.3g} %.",
                "Ask for 100 % or for a share that is one of a whole number, as 50, 25, 20, 10 %.",
            )
        return step


def resolve(
    card: Card, frames: Sequence[Frame], share: str, *, lists: Path | None = None
) -> LabelShare:
    """The frames that `share` selects.

    Args:
        card: Says the convention of a share that names none.
        frames: Every frame of the split, in the data set's order.
        share: ``1%``, or with its convention ``1%@slidr-scene``.
        lists: Folder of published lists, for ``lasermix-list``:
            `lima_bench.datasets.share_lists.folder_of` tells it for a data root.

    Raises:
        UserError: The share is not a percentage, its convention is unknown or cannot give it, its
            list is missing or names a frame that is not there, or it selects nothing.
    """
    amount, _, convention = share.partition("@")
    question = Question(card, frames, amount, _percent(share, amount), lists)
    convention = convention or convention_of(card, amount)
    if convention not in CONVENTIONS:
        raise unknown_name(f"labels {share}", "label-share convention", convention, CONVENTIONS)
    chosen = tuple(CONVENTIONS[convention](question))
    name = f"{amount}@{convention}"
    if not chosen:
        raise _nothing(question, name)
    return LabelShare(name, convention, chosen, digest([frame.id for frame in chosen]))


def convention_of(card: Card, amount: str) -> str:
    """The card's convention for a share of this amount.

    Raises:
        UserError: The card has none.
    """
    convention = card.label_shares.get(amount) or card.label_shares.get("default")
    if convention is None:
        raise UserError(
            f"{card.name} card: label_shares",
            f"The card has no convention for {amount} of the labels.",
            f'Add one to the card, or name it: "{amount}@slidr-stride".',
        )
    return convention


def _percent(share: str, amount: str) -> float:
    percent = float(amount[:-1]) if re.fullmatch(r"\d+(\.\d+)?%", amount) else 0.0
    if not 0 < percent <= 100:
        raise UserError(
            f"labels {share}",
            f'"{amount}" is not a share of the labels.',
            'Write a percentage above 0 and up to 100, as "1%" or "1%@slidr-scene".',
        )
    return percent


def _nothing(question: Question, name: str) -> UserError:
    """The error for a share without a frame."""
    frames, amount = question.frames, question.amount
    n_sequences = len(dict.fromkeys(frame.sequence for frame in frames))
    return UserError(
        f"labels {name}",
        f"This share selects nothing: {question.card.title} has {n_sequences} sequences with "
        f"{len(frames)} frames here.",
        "Ask for a larger share, or for another convention: "
        f"{', '.join(f'{amount}@{other}' for other in sorted(CONVENTIONS))}.",
    )


def _every_scene(question: Question) -> list[Frame]:
    """All frames of the r-th, 2 r-th, ... sequence, counted from 1 as they come."""
    names = dict.fromkeys(frame.sequence for frame in question.frames)
    number = {name: i for i, name in enumerate(names, start=1)}
    step = question.step
    return [frame for frame in question.frames if number[frame.sequence] % step == 0]


def _every_name(question: Question) -> list[Frame]:
    """The first, (1 + r)-th, ... frame of those sorted by sequence and id."""
    return sorted(question.frames, key=lambda frame: (frame.sequence, frame.id))[:: question.step]


def _every_frame(question: Question) -> list[Frame]:
    """The first, (1 + r)-th, ... frame of those sorted by sequence and, inside, by time."""
    ordered = sorted(question.frames, key=lambda frame: (frame.sequence, frame.index))
    return ordered[:: question.step]


def _sequences(question: Question) -> list[Frame]:
    """All frames of the sequences that the card lists; of a whole share that it lists not, all."""
    card, listed = question.card, question.card.sequence_shares
    if question.amount not in listed:
        if question.percent == 100:
            return list(question.frames)
        raise UserError(
            f"{card.name} card: sequence_shares",
            f"The card lists no sequences for {question.amount} of the labels.",
            f"Ask for one of: {', '.join([*listed, '100%'])}; or for another convention.",
        )
    wanted = listed[question.amount]
    absent = [n for n in wanted if all(frame.sequence != n for frame in question.frames)]
    if absent:
        raise UserError(
            f"labels {question.amount}@sequence",
            f"It means the sequences {', '.join(wanted)}; {', '.join(absent)} lies not here.",
            "Get the missing part of the data, or ask for another convention.",
        )
    return [frame for frame in question.frames if frame.sequence in wanted]


def _listed(question: Question) -> list[Frame]:
    """The frames of the published list, in the data set's order; of a whole share, all."""
    if question.percent == 100:
        return list(question.frames)
    where = f"{question.card.name} labels {question.amount}@lasermix-list"
    return listed_frames(question.frames, question.lists, question.percent, where)


CONVENTIONS: Mapping[str, Callable[[Question], list[Frame]]] = {
    "slidr-scene": _every_scene,
    "detection-scene": _every_scene,
    "slidr-stride": _every_name,
    "stride": _every_frame,
    "sequence": _sequences,
    "lasermix-list": _listed,
}

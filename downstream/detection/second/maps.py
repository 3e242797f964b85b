"""How the raw maps of SECOND's groups are read: scores and codes, anchor by anchor.

Offers `Group`, its `Read` maps and `groups_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lima_bench.downstream.detection.second.code import CODE, CODE_WIDTH

SCORES = "classes"
"""Name of the map of scores; the others are those of `CODE`."""


@dataclass(frozen=True)
class Read:
    """The maps of one group, one row per slot of its anchors.

    Attributes:
        logits: Of each class of the group, at every anchor of the group.
        codes: `lima_bench.downstream.detection.second.code.CODE`, side by side.
    """

    logits: Float[Tensor, "frames slots classes height width"]
    codes: Float[Tensor, "frames slots 10 height width"]


@dataclass(frozen=True)
class Group:
    """Classes that share a set of branches.

    Attributes:
        labels: The classes by the card's `detection`.
        first_slot: Of its anchors among those of all groups.
        rotations: Slots of each class.
    """

    labels: tuple[int, ...]
    first_slot: int
    rotations: int

    @property
    def n_slots(self) -> int:
        """Anchors at one place."""
        return len(self.labels) * self.rotations

    @property
    def slots(self) -> slice:
        """Its anchors among those of all groups."""
        return slice(self.first_slot, self.first_slot + self.n_slots)

    @property
    def widths(self) -> dict[str, int]:
        """Channels of each map: a score for each class at each anchor, and a code at each."""
        codes = {name: self.n_slots * width for name, width in CODE.items()}
        return {SCORES: self.n_slots * len(self.labels)} | codes

    def own(self, device: torch.device) -> Bool[Tensor, "slots classes"]:
        """Which class of the group the anchors of each slot are made for."""
        classes: Tensor = torch.eye(len(self.labels), dtype=torch.bool, device=device)
        return classes.repeat_interleave(self.rotations, 0)

    def rows(self, slot: Int[Tensor, " anchors"]) -> Int[Tensor, " inside"]:
        """Which of some anchors, given by their slots, are this group's."""
        inside: Tensor = (slot >= self.slots.start) & (slot < self.slots.stop)
        return inside.nonzero()[:, 0]

    def read(self, maps: Mapping[str, Tensor], branches: Literal["own", "mixed"]) -> Read:
        """Cut the maps by anchor; what `branches` means, the recipe says."""
        frames, _, height, width = maps[SCORES].shape

        def cut(values: Tensor, channels: int) -> Tensor:
            return values.reshape(frames, self.n_slots, channels, height, width)

        if branches == "own":
            codes = torch.cat([cut(maps[name], channels) for name, channels in CODE.items()], 2)
        else:
            codes = cut(torch.cat([maps[name] for name in CODE], 1), CODE_WIDTH)
        return Read(cut(maps[SCORES], len(self.labels)), codes)


def groups_of(labels: Sequence[Sequence[int]], rotations: int) -> tuple[Group, ...]:
    """The groups of a head, from the labels of each."""
    ends = accumulate((len(one) * rotations for one in labels), initial=0)
    # One end more than groups: where the next one would begin.
    pairs = zip(labels, ends, strict=False)
    return tuple(Group(tuple(one), first, rotations) for one, first in pairs)

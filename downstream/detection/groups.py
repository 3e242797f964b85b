"""Which classes share a branch of the head, as labels: names of a recipe -> labels of a card.

Offers `labels_of_groups`.
"""

from __future__ import annotations

from collections import Counter

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.downstream.detection.settings import Groups

WHERE = "recipe: groups"


def labels_of_groups(groups: Groups, facts: DetectionFacts) -> tuple[tuple[int, ...], ...]:
    """For each group the labels of its classes, in the order of the recipe.

    A class that no group names is neither learnt nor found.

    Raises:
        UserError: A group is empty, a class is named twice, or the data set has none of that name.
    """
    names = [name for group in groups for name in group]
    if not groups or not all(groups):
        how = f"Name classes in each group. Known: {', '.join(facts.names)}"
        raise UserError(WHERE, "A group of classes is empty.", how)
    for name, times in Counter(names).items():
        if name not in facts.names:
            raise unknown_name(WHERE, "class", name, facts.names)
        if times > 1:
            what = f'The class "{name}" is named {times} times.'
            raise UserError(WHERE, what, "Put every class into one group.")
    return tuple(tuple(facts.names.index(name) for name in group) for group in groups)

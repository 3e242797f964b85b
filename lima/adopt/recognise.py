"""Which layout a file has, by the names and shapes of its tensors.

Offers `recognise`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.lima.adopt.fit import their_name
from lima_bench.lima.adopt.layouts import LAYOUTS, OURS, Layout
from lima_bench.lima.adopt.release import Release

_SHOWN = 5

_DETECTOR = ("dense_head.", "bbox_head.", "pts_bbox_head.", "roi_head.", "rpn_head.")


def recognise(release: Release, name: str = "auto") -> tuple[Layout, str]:
    """The layout of a file, and what stands before the names of its network.

    Args:
        release: The file.
        name: Of a layout that it shall have, or ``auto``.

    Raises:
        UserError: It has none that is known, several, or not the one asked for; says what is there.
    """
    if name != "auto":
        if name not in LAYOUTS:
            raise unknown_name(f"--layout {name}", "layout", name, ["auto", OURS, *LAYOUTS])
        wanted = [LAYOUTS[name]]
    else:
        wanted = [layout for layout in LAYOUTS.values() if not layout.asked]
    found = {layout.name: roots for layout in wanted if (roots := _roots(release, layout))}
    if not found:
        raise _unknown(release, name)
    if name == "auto":
        found = _most_told(release, found)
    (chosen, roots), *others = found.items()
    if others:
        what = f"This file holds networks of several layouts: {', '.join(found)}."
        raise UserError(release.path, what, f"Say which: --layout {'|'.join(found)}")
    if len(roots) > 1:
        what = f"This file holds the network {len(roots)} times, under {', '.join(roots)}."
        raise UserError(release.path, what, "Save the one that is meant as a file of its own.")
    return LAYOUTS[chosen], roots[0]


def _roots(release: Release, layout: Layout) -> list[str]:
    """Where the first convolution, the first normalisation and the layout's marks all stand."""
    network, order = next(iter(layout.networks.values())), layout.orders[0]
    first, norm = (
        their_name(name, n_axes, layout, order, network.n_stages)
        for name, n_axes in zip(network.stem, (2, 1), strict=True)
    )
    found = [root for root in release.roots(first) if f"{root}{norm}" in release.tensors]
    return [root for root in found if _has(release.under(root), layout.marks)]


def _has(names: Collection[str], marks: Iterable[str]) -> bool:
    """Whether some name begins with each of `marks`."""
    return all(any(name.startswith(mark) for name in names) for mark in marks)


def _most_told(release: Release, found: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Of layouts with the same names, the one whose own heads are there, else the plain one."""
    chosen: dict[object, tuple[str, list[str]]] = {}
    for name, roots in found.items():
        layout = LAYOUTS[name]
        own = [n for root in roots for n in release.under(root)]
        told = any(n.startswith(layout.told_by) for n in own) if layout.told_by else True
        if told:
            chosen.setdefault(layout.naming, (name, roots))
    return dict(chosen.values())


def _unknown(release: Release, name: str) -> UserError:
    asked = [layout.name for layout in LAYOUTS.values() if layout.asked and _roots(release, layout)]
    if asked and name == "auto":
        what = "Its weights are spconv's, and nothing in them tells the order of their axes."
        return UserError(release.path, what, f"Say which: --layout {'|'.join(asked)}")
    if any(word in f".{n}" for n in release.tensors for word in map(".{}".format, _DETECTOR)):
        what = "This is a detector; no network that is built here was found in it."
    elif not release.tensors:
        what = "There is no tensor in this file."
    elif name != "auto":
        what = f"This file does not have the layout {name}."
    else:
        what = "This file has no known layout."
    known = ", ".join([OURS, *LAYOUTS])
    return UserError(release.path, f"{what} It holds: {_contents(release)}.", f"Known: {known}.")


def _contents(release: Release) -> str:
    """The first parts of its names with their numbers, and a few tensors with their shapes."""
    if not release.tensors:
        return "nothing"
    parts = Counter(n.partition(".")[0] for n in release.tensors)
    few = [f"{n} {tuple(t.shape)}" for n, t in list(release.tensors.items())[:_SHOWN]]
    return f"{_counted(parts.items())}; first {', '.join(few)}"


def _counted(parts: Iterable[tuple[str, int]]) -> str:
    texts = [f"{n}.* ({count})" for n, count in parts]
    more = [f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return ", ".join([*texts[:_SHOWN], *more])

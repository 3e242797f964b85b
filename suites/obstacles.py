"""Why a row or a column cannot be run: what is not built, not here, or not to be seen there. Pure.

Offers `row_obstacle`, `column_obstacle` and `cell_obstacle`. Used by `lima_bench.suites.expand`.
"""

from __future__ import annotations

from collections.abc import Sequence

from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.suites.chain import Chain
from lima_bench.suites.schema import Column, Row
from lima_bench.suites.segments import mask_problem


def row_obstacle(chain: Chain, row: Row) -> str:
    """Why the row cannot be run; empty if it can."""
    known = chain.known
    if row.adopted and row.adopted not in known.adopted:
        return f"not adopted in this store: {row.adopted}"
    method = known.card_of(row)
    if not (method.is_built or row.adopted):
        return f"not built yet: method {row.method}"
    if not known.backbones.get(backbone := chain.student(row)["backbone"]):
        return f"not built yet: backbone {backbone}"
    if row.adopted or not method.learns:
        return ""
    return _no_teacher(chain, row) or _no_lessons(chain, row)


def column_obstacle(chain: Chain, column: Column) -> str:
    """Why the column cannot be asked; empty if it can."""
    if column.measure is not None or column.task is None or column.on is None:
        return ""
    if not chain.known.tasks[column.task].version:
        return f"not built yet: task {column.task}"
    asked = (name for name in (column.on, column.corrupted) if name)
    return next(filter(None, (_no_data(chain, name) for name in asked)), "")


def cell_obstacle(chain: Chain, row: Row, column: Column) -> str:
    """Why this column cannot be asked of this row, though of others it can; empty if it can."""
    if column.measure is not None:
        return ""
    if column.task == "detect" and (reason := _no_detector(chain, row, column)):
        return reason
    if chain.recipe_of(row, column) is None:
        return f"no recipe: its recipe set asks no {column.task} of a row"
    return ""


def _no_detector(chain: Chain, row: Row, column: Column) -> str:
    """Why no boxes can be found with the row's backbone."""
    if not chain.known.datasets[str(column.on)].boxed:
        return f"no boxes: no card says what a detection on {column.on} is, or no kit scores it"
    if not chain.detector(row):
        return "no detector: neither the row nor the suite names one"
    backbone = chain.student(row)["backbone"]
    if not BACKBONES.get(backbone).windows:
        return f"no bird's-eye map: {backbone} is no detector's encoder, a VoxelNet is"
    return ""


def _no_teacher(chain: Chain, row: Row) -> str:
    teacher = chain.teacher(row)
    if teacher and not chain.known.teachers[teacher].implementation:
        return f"not built yet: teacher {teacher}"
    if "features" in chain.known.card_of(row).needs and not teacher:
        return "no teacher: neither the row nor the profile names one"
    return ""


def _no_lessons(chain: Chain, row: Row) -> str:
    """Why the row's data sets cannot be learnt from."""
    datasets = chain.pretrain_on(row)
    if not datasets:
        return "no data: pretrain_on is not given"
    missing = (_no_data(chain, name) for name in datasets)
    lacking = _lacking(chain, row, datasets) or next(filter(None, missing), "")
    method = chain.known.card_of(row)
    return lacking or mask_problem(method, chain.segmentation(row), chain.identity.masks)


def _lacking(chain: Chain, row: Row, datasets: Sequence[str]) -> str:
    """What the row's method wants to see and a data set never has; empty if nothing."""
    facts = {name: chain.known.datasets[name] for name in datasets}
    blind = [name for name, fact in facts.items() if not fact.pictured]
    if chain.teacher(row) and blind:
        return f"no images: {', '.join(blind)} has no cameras"
    wanted = "sweeps" in chain.known.card_of(row).needs
    still = [name for name, fact in facts.items() if not fact.swept]
    if wanted and still and chain.settings(row).get("sweeps") != 0:
        return f"no sweeps: no scans before a frame can be read of {', '.join(still)}"
    return ""


def _no_data(chain: Chain, dataset: str) -> str:
    if not chain.known.datasets[dataset].built:
        return f"not built yet: data set {dataset}"
    if chain.identity.renders(dataset) or dataset in chain.identity.manifests:
        return ""
    if chain.identity.world is None:
        return f"no data: {dataset} does not lie below the data root"
    return f"no data: the world is not written as {dataset}, and no files of it lie here"

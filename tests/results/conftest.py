"""A table like the first one: four methods that ran, others not built, one data set not read."""

from dataclasses import replace

import pytest

from lima_bench.results.build import Outcome, Reference, Rules, build_table
from lima_bench.results.orderings import check_orderings, read_claims
from lima_bench.results.splits import build_splits
from lima_bench.results.table import ColumnMeta, Costs, Footer, RowMeta
from lima_bench.results.verdict import State

RAN = {"random": 12.0, "slidr": 30.0, "scalr": 33.0, "lima": 36.0}
LATER = {"seal": "Seal", "superflow": "SuperFlow"}
TITLES = {"random": "Random", "slidr": "SLidR", "scalr": "ScaLR", "lima": "LiMA", **LATER}
FOOTER = Footer(
    version="0.1.0", commit="7b65381aa0", date="2026-01-31", seeds=(0, 1, 2), embedded=True
)


def make_rows():
    return [
        RowMeta(
            id=method,
            title=title,
            method=method,
            teacher="" if method == "random" else "tiny",
            student="minkunet_tiny",
            frames={"lima": 6, "slidr": 1, "scalr": 1}.get(method),
            group="" if method == "random" else "tiny teacher",
            reconstruction=method == "seal",
        )
        for method, title in TITLES.items()
    ]


def make_columns():
    shares = [("LP", "LP"), *((f"{s}%", f"{s}%") for s in (1, 5, 10, 25, 100))]
    columns = [
        ColumnMeta(id=f"nus-{s.lower()}", title=t, dataset="nuscenes", setting=s, group="nuScenes")
        for s, t in shares
    ]
    for dataset, group in (("semantickitti", "SemanticKITTI"), ("waymo", "Waymo")):
        columns.append(
            ColumnMeta(
                id=f"{dataset}-1%",
                title="1%",
                dataset=dataset,
                setting="1%",
                group=group,
                assumed=dataset == "semantickitti",
            )
        )
    return columns


def make_outcomes(rows, columns):
    outcomes = {}
    for row in rows:
        for n, column in enumerate(columns):
            outcome = Outcome(state=State.UNAVAILABLE, reason=f"{row.title} is not built yet")
            if row.method in RAN:
                base = RAN[row.method] + 3 * n
                outcome = Outcome(values={seed: base + 0.37 * seed - 0.1 * n for seed in range(3)})
                if column.dataset == "waymo":
                    outcome = Outcome(
                        state=State.UNAVAILABLE, reason="the Waymo reader is not built yet"
                    )
            outcomes[row.id, column.id] = outcome
    stale = outcomes["scalr", "nus-5%"]
    outcomes["scalr", "nus-5%"] = replace(stale, state=State.STALE, reason="lima/loop.py changed")
    outcomes["lima", "nus-10%"] = Outcome(values={0: 43.1, 2: 44.0})
    outcomes["slidr", "nus-25%"] = Outcome(
        state=State.FAILED, reason="failed: loss is NaN at step 12"
    )
    return outcomes


def make_splits(rows):
    outcomes = {}
    for row in rows:
        if row.method not in RAN:
            continue
        for n, metric in enumerate(
            ("miou_seen", "miou_unseen", "miou_moving", "miou_static", "miou_0_20m", "miou_20_40m")
        ):
            gain = 2.0 if (row.method, metric) == ("lima", "miou_unseen") else 0.0
            base = min(RAN[row.method], 33) - n + gain
            outcomes[row.id, metric] = Outcome(values={s: base + 0.3 * s for s in range(3)})
    return build_splits(
        rows=rows,
        dataset="nuscenes",
        setting="LP",
        outcomes=outcomes,
        seeds=(0, 1, 2),
        differences=(("lima", "scalr"),),
        suite="table1",
        profile="embedded",
        footer=FOOTER,
    )


@pytest.fixture
def rows():
    return make_rows()


@pytest.fixture
def columns():
    return make_columns()


@pytest.fixture
def table(rows, columns):
    """Every kind of cell, with golden references, costs, orderings and splits."""
    outcomes = make_outcomes(rows, columns)
    references = {
        at: Reference(value=round(sum(o.values.values()) / 3, 1), tolerance=0.6)
        for at, o in outcomes.items()
        if o.values
    }
    references["scalr", "nus-1%"] = Reference(value=20.0)
    references["slidr", "nus-1%"] = Reference(value=60.0)
    made = build_table(
        title="Pretrained on nuScenes, fine-tuned on nuScenes, SemanticKITTI & Waymo",
        suite="table1",
        profile="embedded",
        rows=rows,
        columns=columns,
        outcomes=outcomes,
        footer=FOOTER,
        seeds=(0, 1, 2),
        references=references,
        against="golden",
        rules=Rules(bold="best"),
    )
    made = replace(made, orderings=check_orderings(made, read_claims()), splits=make_splits(rows))
    costs = {
        m: Costs(wall_hours=0.021 * (1 + n), cpu_hours=0.02 * (1 + n), peak_memory_gb=0.61 + n / 10)
        for n, m in enumerate(RAN)
    }
    return replace(made, costs=costs)

"""Jobs and records -> what is done, stale or missing, what must run and what it costs. Pure.

Offers `make_plan`, its result `Plan` of `Step`s, `within_budget`, `expected_hours`, `priorities`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lima_bench.results.record import Record
from lima_bench.suites.code import CodeKeys, lineage
from lima_bench.suites.costs import Costs, Estimate, rough_weight
from lima_bench.suites.expand import CellPlan, Expansion
from lima_bench.suites.job import DOWNSTREAM, Job
from lima_bench.suites.measures import beside_others, timed_jobs

State = Literal["done", "stale", "missing"]


@dataclass(frozen=True)
class Step:
    """One job and how things stand with it.

    Attributes:
        job: The job.
        state: ``stale``: its record was made by other code than today's.
        runs: Whether a run would do it: wanted by a cell, and not to be had otherwise.
        estimate: What it would take.
        code: The lineage that its record should have.
        again: It runs only because its time is asked for and was not measured alone.
    """

    job: Job
    state: State
    runs: bool
    estimate: Estimate
    code: str
    again: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know.

    Attributes:
        expansion: The suite.
        steps: Key to step, inputs first.
        records: Key to record, of every job that has one.
        accept_stale: Whether stale records count as done.
        timed: Keys of jobs whose time a column shows.
    """

    expansion: Expansion
    steps: Mapping[str, Step]
    records: Mapping[str, Record]
    accept_stale: bool = False
    timed: frozenset[str] = frozenset()

    @property
    def todo(self) -> list[Step]:
        """What a run would do, inputs first."""
        return [step for step in self.steps.values() if step.runs]

    def cell_state(self, cell: CellPlan) -> Literal["done", "stale", "missing", "unavailable"]:
        """The state of a cell: that of its worst seed."""
        if cell.missing:
            return "unavailable"
        states = {self.steps[key].state for key in cell.jobs.values()}
        if "missing" in states:
            return "missing"
        return "stale" if "stale" in states else "done"

    def cost_of(self, keys: Iterable[str], known: Collection[str] = ()) -> tuple[float, set[str]]:
        """Hours that the jobs `keys` need with all before them, and the jobs that would run.

        Args:
            keys: Jobs.
            known: Jobs that are paid for already.
        """
        wanted = set(self.expansion.upstream(_still_wanted(self, keys)))
        running = {k for k in wanted if self.steps[k].runs and k not in known}
        return sum(self.steps[k].estimate.wall_hours or 0.0 for k in running), running


def make_plan(
    expansion: Expansion,
    records: Mapping[str, Record],
    code: CodeKeys,
    *,
    present: Collection[str],
    costs: Costs | None = None,
    accept_stale: bool = False,
    targets: Collection[str] | None = None,
) -> Plan:
    """Compare what is asked for with what there is.

    Args:
        expansion: Rows, columns and jobs.
        records: Key to record; more than the suite's do no harm.
        code: Today's code.
        present: Keys of finished jobs whose artifacts still lie in the store.
        costs: From earlier records.
        accept_stale: Let records of other code count.
        targets: Stages to be done whether or not a cell waits for them; None: the cells' jobs.
    """
    costs = costs or Costs()
    codes: dict[str, str] = {}
    for key, job in expansion.jobs.items():
        codes[key] = lineage(code.own(job), {r: codes[k] for r, k in job.inputs.items()})
    states = {key: _state(records.get(key), codes[key]) for key in expansion.jobs}
    mine = {key: records[key] for key in expansion.jobs if key in records}
    timed, wanted = timed_jobs(expansion), _targets(expansion, targets)
    again = {
        key
        for key in beside_others(mine, timed)
        if states[key] == "done" and (targets is None or key in wanted)
    }
    runs = _runs(expansion, states, present, wanted, again, accept_stale=accept_stale)
    steps = {
        key: Step(job, states[key], key in runs, costs.of(job), codes[key], key in again)
        for key, job in expansion.jobs.items()
    }
    return Plan(expansion, steps, mine, accept_stale, timed)


def within_budget(plan: Plan, hours: float) -> tuple[list[CellPlan], float]:
    """The open cells that fit into `hours`, cheapest additional cost first, and what they take.

    Cells whose cost nobody knows yet are left out.
    """
    paid: set[str] = set()
    spent = 0.0
    chosen: list[CellPlan] = []
    waiting = [c for c in plan.expansion.cells if plan.cell_state(c) in ("missing", "stale")]
    while waiting:
        priced = [(plan.cost_of(cell.jobs.values(), paid), cell) for cell in waiting]
        priced = [p for p in priced if all(_priced(plan, key) for key in p[0][1])]
        if not priced:
            break
        (cost, running), cell = min(priced, key=lambda p: p[0][0])
        if spent + cost > hours:
            break
        spent, paid = spent + cost, paid | running
        chosen.append(cell)
        waiting.remove(cell)
    return chosen, spent


def expected_hours(plan: Plan) -> dict[str, float]:
    """Key of every job that runs to its hours; where no record tells, by weight beside the others.

    Without any record at all, the unit is arbitrary.
    """
    known = [s.estimate.wall_hours / _weight(s) for s in plan.todo if s.estimate.wall_hours]
    rate = sum(known) / len(known) if known else 1.0
    return {s.job.key: s.estimate.wall_hours or rate * _weight(s) for s in plan.todo}


def priorities(plan: Plan) -> dict[str, float]:
    """Key to how long all that waits for a job takes, itself included: the longest goes first."""
    hours = expected_hours(plan)
    rank: dict[str, float] = {}
    for step in reversed(plan.todo):
        key = step.job.key
        rank[key] = rank.get(key, 0.0) + hours[key]
        for source in step.job.inputs.values():
            rank[source] = max(rank.get(source, 0.0), rank[key])
    return {key: rank[key] for key in hours}


def _weight(step: Step) -> float:
    return rough_weight(step.job.stage, step.job.config)


def _priced(plan: Plan, key: str) -> bool:
    return plan.steps[key].estimate.wall_hours is not None


def _state(record: Record | None, code: str) -> State:
    if record is None:
        return "missing"
    return "done" if record.provenance.get("code") == code else "stale"


def _targets(expansion: Expansion, stages: Collection[str] | None) -> set[str]:
    if stages is not None:
        return {key for key, job in expansion.jobs.items() if job.stage in stages}
    return {key for cell in expansion.cells for key in cell.jobs.values()}


def _runs(
    expansion: Expansion,
    states: Mapping[str, State],
    present: Collection[str],
    targets: Collection[str],
    again: Collection[str],
    *,
    accept_stale: bool,
) -> set[str]:
    """Targets without a good record, those to do again, and every input that cannot be read."""
    good = ("done", "stale") if accept_stale else ("done",)
    runs: set[str] = set()
    read: set[str] = set()
    for key, job in reversed(list(expansion.jobs.items())):
        fine = states[key] in good
        # A score needs its record only; what is read must also lie there.
        lacks_artifact = job.stage not in DOWNSTREAM and key not in present
        wanted = (key in targets and not fine) or key in again
        if wanted or (key in read and (not fine or lacks_artifact)):
            runs.add(key)
            read.update(job.inputs.values())
    return runs


def _still_wanted(plan: Plan, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if plan.steps[key].runs]

"""What every benchmark yields, and the one way in which times are taken.

Offers `Row`, a figure with its target; `interleave`, which times contenders turn by turn; and
`Timings` and `Sample`, from which rows are made. A benchmark module offers
``rows(quick: bool) -> list[Row]``; `benchmarks.groups` lists the modules.

Shared machines drift, so contenders take turns (A B C A B C) and are compared within a round; what
is reported is the median over rounds and its quartiles. The clock counts CPU time of this process,
all threads, unless a module says otherwise.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Clock = Callable[[], float]

SHORTEST_S = 0.003
"""Work shorter than this is repeated within a turn, so that the clock's own cost vanishes."""


@dataclass(frozen=True)
class Row:
    """One figure of the benchmark table.

    Attributes:
        name: ``group/what/...``; never changes, so that two runs can be compared.
        value: Median over rounds; None where it could not be measured here (`note` says why).
        unit: Of `value`; ``x`` is a ratio, in which more is better unless the target says less.
        target: Such as ``>= 0.80``; empty where there is none.
        met: Whether `value` meets `target`; None without a target or a value.
        note: What was compared, how, and why a target is missed.
        spread: Lower and upper quartile over rounds; None for a single measurement.
    """

    name: str
    value: float | None
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""
    spread: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        measured: Sample | float | None,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
        missed: str = "",
    ) -> Row:
        """The row of a measurement, held against one bound or none.

        `missed` is the reason to give, beside the note, if the bound does not hold.
        """
        sample = measured if isinstance(measured, Sample) else None
        value = sample.median if sample else measured
        assert not isinstance(value, Sample)
        target, met = _verdict(value, at_least, at_most)
        spread = sample.quartiles if sample and len(sample.values) > 1 else None
        if met is False:
            note = "; ".join(filter(None, (note, missed)))
        return cls(name, value, unit, target, met, note, spread)


def _verdict(
    value: float | None, at_least: float | None, at_most: float | None
) -> tuple[str, bool | None]:
    if at_least is not None:
        return f">= {at_least:g}", None if value is None else value >= at_least
    if at_most is not None:
        return f"<= {at_most:g}", None if value is None else value <= at_most
    return "", None


@dataclass(frozen=True)
class Sample:
    """One number per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def scaled(self, factor: float) -> Sample:
        """The same rounds times `factor`."""
        return self.map(lambda value: value * factor)

    def map(self, change: Callable[[float], float]) -> Sample:
        """`change` of every round."""
        return Sample(tuple(change(value) for value in self.values))


@dataclass(frozen=True)
class Timings:
    """Seconds that each contender took for one call, round by round."""

    seconds: Mapping[str, tuple[float, ...]]

    def sample(self, name: str, scale: float = 1.0) -> Sample:
        """Seconds of one contender, times `scale`."""
        return Sample(self.seconds[name]).scaled(scale)

    def ratio(self, slower: str, faster: str) -> Sample:
        """How many times as long `slower` takes as `faster`, within each round."""
        pairs = zip(self.seconds[slower], self.seconds[faster], strict=True)
        return Sample(tuple(one / other for one, other in pairs))

    def fastest(self, names: Iterable[str]) -> str:
        """Of the contenders, the one with the smallest median."""
        return min(names, key=lambda name: self.sample(name).median)


def interleave(
    work: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock = time.process_time,
    shortest_s: float = SHORTEST_S,
) -> Timings:
    """Time every contender once a round, in turn, after two calls of each to warm up.

    Args:
        work: By name, what one call does.
        rounds: How often all take their turn.
        clock: Seconds; of the CPU by default, `time.perf_counter` where threads are compared.
        shortest_s: A turn repeats its work until it should last as long; 0 for one call a turn.
    """
    repeats = {name: _repeats(call, clock, shortest_s) for name, call in work.items()}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection would land on whoever happens to be running
    try:
        for _ in range(rounds):
            for name, call in work.items():
                seconds[name].append(_turn(call, repeats[name], clock))
    finally:
        if was_enabled:
            gc.enable()
    return Timings({name: tuple(values) for name, values in seconds.items()})


def _repeats(call: Callable[[], object], clock: Clock, shortest_s: float) -> int:
    call()
    once = _turn(call, 1, clock)
    return max(1, round(shortest_s / max(once, 1e-7)))


def _turn(call: Callable[[], object], repeats: int, clock: Clock) -> float:
    started = clock()
    for _ in range(repeats):
        call()
    return (clock() - started) / repeats

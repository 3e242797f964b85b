import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lima_bench.results.verdict import State, Verdict, exit_code, judge

SCORE = st.floats(0, 100)
MARGIN = st.floats(0, 20)


def ask(value=50.0, std=None, reference=50.0, tolerance=0.5, spread=2.0, state=State.DONE):
    return judge(value, std, reference, tolerance=tolerance, spread=spread, state=state)


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        ({"value": 50.4}, Verdict.REPRODUCED),
        ({"value": 8.4, "reference": 8.1, "tolerance": 0.3}, Verdict.REPRODUCED),
        ({"value": 50.6}, Verdict.ABOVE),
        ({"value": 49.4}, Verdict.BELOW),
        ({"value": 49.4, "std": 0.3}, Verdict.REPRODUCED),
        ({"value": 49.4, "std": 0.3, "spread": 1.0}, Verdict.BELOW),
        ({"reference": None}, Verdict.NO_REFERENCE),
        ({"value": None}, Verdict.MISSING),
        ({"state": State.STALE}, Verdict.STALE),
        ({"state": State.LIMITED, "reference": None}, Verdict.LIMITED),
        ({"state": State.FAILED, "value": None}, Verdict.FAILED),
        ({"state": State.UNAVAILABLE, "value": None}, Verdict.MISSING),
        ({"state": State.REPORTED, "value": None}, Verdict.MISSING),
    ],
)
def test_verdicts(asked, verdict):
    assert ask(**asked) is verdict


@settings(derandomize=True)
@given(SCORE, st.none() | MARGIN, SCORE, MARGIN, MARGIN, st.floats(0, 4))
def test_more_tolerance_never_loses_a_reproduction(value, std, reference, low, more, spread):
    strict = judge(value, std, reference, tolerance=low, spread=spread)
    loose = judge(value, std, reference, tolerance=low + more, spread=spread)
    assert loose in (strict, Verdict.REPRODUCED)


@settings(derandomize=True)
@given(SCORE, SCORE, MARGIN)
def test_sides_are_mirrored(value, reference, tolerance):
    mirror = {Verdict.ABOVE: Verdict.BELOW, Verdict.BELOW: Verdict.ABOVE}
    there = judge(value, None, reference, tolerance=tolerance, spread=0)
    back = judge(reference, None, value, tolerance=tolerance, spread=0)
    assert back is mirror.get(there, there)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        ([Verdict.REPRODUCED, Verdict.NO_REFERENCE], 0),
        ([Verdict.REPRODUCED, Verdict.MISSING], 4),
        ([Verdict.STALE], 4),
        ([Verdict.LIMITED], 4),
        ([Verdict.MISSING, Verdict.BELOW], 1),
        ([Verdict.ABOVE], 1),
        ([Verdict.FAILED], 1),
    ],
)
def test_exit_codes(verdicts, code):
    assert exit_code(verdicts) == code

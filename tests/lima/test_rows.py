"""Which rows meet which targets, against every pair written out."""

import pytest
import torch

from lima_bench.lima.rows import meet


@pytest.mark.parametrize(
    ("source", "point"),
    [
        ([3, 0, 3, 5, 1], [5, 0, 3]),  # one target each, not sorted
        ([3, 0, 3, 5, 1], [5, 0, 3, 3, 0]),  # several
        ([3, 0], []),
        ([], [1, 2]),
        ([], []),
    ],
)
def test_every_row_meets_every_target_of_its_point(source, point):
    rows, met = meet(torch.tensor(source).long(), torch.tensor(point).long(), 6)
    expected = [(r, t) for r, s in enumerate(source) for t, p in enumerate(point) if s == p]
    assert list(zip(rows.tolist(), met.tolist(), strict=True)) == expected


def test_no_points_at_all():
    none = torch.zeros(0, dtype=torch.int64)
    assert [len(part) for part in meet(none, none, 0)] == [0, 0]

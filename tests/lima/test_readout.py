"""What rows read of values kept per cell."""

from __future__ import annotations

import torch

from lima_bench.lima.readout import Cells, OneCell


class _Halves:
    """Every row reads the mean of two cells."""

    def read(self, values, rows):
        return (values[rows] + values[rows + 1]) / 2

    def one_cell(self, rows):
        return None


def test_a_row_reads_its_voxel():
    features = torch.tensor([[1.0], [2.0]], requires_grad=True)
    cells = Cells(features, OneCell(torch.tensor([1, 0, 1])))
    read = cells.at(features * 10, torch.tensor([2, 1]))
    assert read.flatten().tolist() == [20, 10]
    read.sum().backward()
    assert features.grad.flatten().tolist() == [10, 10]


def test_a_table_is_not_copied_where_rows_read_one_cell():
    features = torch.randn(3, 2)
    table, places = Cells(features, OneCell(torch.tensor([2, 2, 0]))).addressed(torch.arange(3))
    assert table is features
    assert places.tolist() == [2, 2, 0]


def test_other_readings_are_written_out():
    features = torch.tensor([[1.0], [3.0], [7.0]])
    table, places = Cells(features, _Halves()).addressed(torch.tensor([1, 0, 1]))
    assert table[places].flatten().tolist() == [5, 2, 5]

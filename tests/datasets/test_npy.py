"""``.npy`` files: numbers only, whole files only."""

from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.npy import read_npy, read_npy_labels, read_npy_scan

POINTS = np.random.default_rng(0).normal(size=(7, 4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "000000.npy"


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<f2", "<i4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", [3, 4])
def test_scans_become_float32(path: Path, dtype: str, order: str, columns: int) -> None:
    wanted = np.asarray(POINTS[:, :columns].astype(dtype), order=order)  # type: ignore[call-overload]
    np.save(path, wanted)
    rows = read_npy_scan(path, (3, 4))
    assert rows.dtype == np.float32 and rows.flags.c_contiguous and rows.flags.writeable
    np.testing.assert_array_equal(rows, wanted.astype(np.float32))


def test_both_versions_of_the_format(path: Path) -> None:
    for version in ((1, 0), (2, 0)):
        with path.open("wb") as file:
            np.lib.format.write_array(file, POINTS, version=version)
        np.testing.assert_array_equal(read_npy(path, "scan"), POINTS)
    with path.open("wb") as file:
        np.lib.format.write_array(file, POINTS, version=(3, 0))
    with pytest.raises(UserError, match=r"version 3\.0"):
        read_npy(path, "scan")


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (5,)])
@pytest.mark.parametrize("dtype", ["u1", "<i4", "<i8", "<f4"])
def test_labels_of_any_shape(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    np.save(path, np.array([0, 3, 22, 7, 7]).astype(dtype).reshape(shape))
    labels = read_npy_labels(path, 5)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 3, 22, 7, 7]


def test_labels_that_are_no_labels(path: Path) -> None:
    np.save(path, np.zeros(4))
    with pytest.raises(UserError, match="4 labels, but its scan has 5 points"):
        read_npy_labels(path, 5)
    for strange in (0.5, np.nan, np.inf):
        np.save(path, np.array([1, strange]))
        with pytest.raises(UserError, match="no whole numbers"):
            read_npy_labels(path, 2)


def test_objects_are_not_opened(path: Path) -> None:
    np.save(path, np.array([{}, print], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="holds object, not numbers"):
        read_npy(path, "scan")
    np.save(path, np.array(["a", "b"]))
    with pytest.raises(UserError, match="not numbers"):
        read_npy(path, "scan")


def test_broken_files(path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        read_npy(path, "scan")
    np.save(path, POINTS)
    whole = path.read_bytes()
    header = len(whole) - POINTS.nbytes
    for content in (b"", whole[:4], whole[:8], whole[: header - 9], b"no array at all" * 9):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"no whole \.npy file") as error:
            read_npy(path, "scan")
        assert error.value.where == str(path)
    for content in (whole[:-1], whole[:header], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"truncated or too long.*header says 224"):
            read_npy(path, "scan")
    path.write_bytes(whole.replace(b"(7, 4)", b"(-7,-4)"[:6]))
    with pytest.raises(UserError):
        read_npy(path, "scan")


def test_a_header_may_not_ask_for_more_than_there_is(path: Path) -> None:
    np.save(path, np.zeros((1111111111, 0), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(1111111111, 0)", b"(1111111111, 9)"))
    with pytest.raises(UserError, match="truncated"):
        read_npy(path, "scan")


def test_points_that_are_not_numbers(path: Path) -> None:
    for strange in (np.nan, np.inf, 1e300):
        rows = POINTS.copy()
        rows[2, 1] = strange
        np.save(path, rows)
        with pytest.raises(UserError, match="1 of 7 points are not numbers"):
            read_npy_scan(path, (4,))


def test_empty_and_misshapen_scans(path: Path) -> None:
    np.save(path, np.zeros((0, 4)))
    with pytest.raises(UserError, match="empty"):
        read_npy_scan(path, (3, 4))
    for shape in ((28,), (7, 2), (7, 2, 2), (7, 5)):
        np.save(path, np.zeros(shape))
        with pytest.raises(UserError, match="3 or 4 columns"):
            read_npy_scan(path, (3, 4))

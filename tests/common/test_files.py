"""Files are whole or absent, and a place that cannot be written is told with its remedy."""

import errno
import stat
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling, writable, write_atomic


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_atomic(path, "old")
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, ""))
    )
    with pytest.raises(UserError, match="disk is full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_colleagues_may_read_what_was_written(tmp_path):
    write_atomic(tmp_path / "record.json", "{}")
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == 0o644


def test_a_folder_appears_only_when_its_block_ends_well(tmp_path):
    with pytest.raises(ZeroDivisionError), filling(tmp_path / "grids") as draft:
        (draft / "half").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with filling(tmp_path / "grids") as draft:
        (draft / "whole").write_text("whole")
    assert (tmp_path / "grids" / "whole").read_text() == "whole"


@pytest.mark.parametrize(
    ("number", "told"), [(errno.EROFS, "read-only"), (errno.EACCES, "may not write")]
)
def test_a_place_that_cannot_be_written_is_told(tmp_path, number, told):
    with pytest.raises(UserError, match=told), writable(tmp_path):
        raise OSError(number, "")


def test_a_missing_input_is_not_taken_for_a_missing_place(tmp_path):
    with pytest.raises(FileNotFoundError), writable(tmp_path / "grids"):
        (tmp_path / "input.bin").read_bytes()
    with pytest.raises(UserError, match="cannot be made"), writable(tmp_path / "a" / "grids"):
        (tmp_path / "a" / "grids").mkdir()

"""nuScenes tables: rows are what a JSON parser says, wherever the window cuts the text."""

import json
import tracemalloc
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.json_rows import rows_of
from lima_bench.datasets.nuscenes.strings import Strings
from lima_bench.datasets.nuscenes.tables import read_table

ROWS = [
    {"token": "a", "text": '}, {"token": "not a row"}, ]', "list": [1, -2.5e-7, [], [[3]]]},
    {"token": 'back\\slash " quote', "nested": {"token": "inner", "deep": [{"x": None}]}},
    {"token": "ü€😀", "empty": {}, "flags": [True, False, None], "number": 1532402927647951},
    {},
    {"token": "0.1", "value": 0.1, "big": 1e300, "exact": 411.3039349319818},
]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "sample.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_rows_are_those_of_a_json_parser(
    tmp_path: Path, indent: int | None, ascii_only: bool
) -> None:
    text = f" \n{json.dumps(ROWS, indent=indent, ensure_ascii=ascii_only)}\n\n"
    path = written(tmp_path, text)
    for window in (*range(1, 40), 1 << 20):
        assert list(rows_of(path, window)) == ROWS


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]\n"])
def test_a_table_without_rows(tmp_path: Path, text: str) -> None:
    assert list(rows_of(written(tmp_path, text), 1)) == []


def test_no_gap_and_wide_gaps(tmp_path: Path) -> None:
    path = written(tmp_path, '[{"a":1}  ,\r\n\t {"a":2},{"a":3}   ]')
    for window in range(1, 36):
        assert [row["a"] for row in rows_of(path, window)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not JSON: Expecting value"),
        ("[", "not JSON: Expecting value: line 1"),
        ('[\n{"a": 1},\n{"a": ', "not JSON: Expecting value: line 3"),
        ('[\n{"a": "1}]', "not JSON: Unterminated string starting at: line 2"),
        ('[\n{"a": 1}\n{"a": 2}]', "not JSON: Expecting ',' delimiter: line 3"),
        ('[{"a": 1},]', "not JSON: Expecting value"),
        ('[{"a": 1}]\n\n[', "not JSON: Extra data: line 3"),
        ('[{"a": 1}', "not JSON: Expecting ',' delimiter"),
        ('{"a": }', "not JSON: Expecting value"),
        ('{"a": 1}', "A table is a JSON list of rows"),
        ('[{"a": 1}, 2]', "A table is a JSON list of rows"),
        ('[["a"]]', "A table is a JSON list of rows"),
        (b'[{"a": "\xff"}]', "not JSON: 'utf-8' codec"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str | bytes, what: str) -> None:
    path = written(tmp_path, text)
    for window in (1, 7, 1 << 20):
        with pytest.raises(UserError) as error:
            list(rows_of(path, window))
        assert what in error.value.what and error.value.where == str(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="table ego_pose is missing"):
        list(rows_of(tmp_path / "ego_pose.json"))


def test_a_value_of_another_kind(tmp_path: Path) -> None:
    path = written(tmp_path, '[{"timestamp": "soon"}]')
    with pytest.raises(UserError, match="A row holds a wrong value") as error:
        read_table(tmp_path, "sample", lambda row: int(row["timestamp"]))
    assert error.value.where == str(path)


def test_a_table_is_never_held_whole(tmp_path: Path) -> None:
    row = json.dumps({"token": "x" * 32, "translation": [411.3039349319818, 1180.89, 0.0]})
    path = written(tmp_path, "[" + ",\n".join([row] * 20_000) + "]")
    tracemalloc.start()
    try:
        n_rows = sum(1 for _ in rows_of(path, 1 << 14))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_rows == 20_000 and peak < path.stat().st_size / 5


def test_strings_are_kept_exactly() -> None:
    texts = ["", "a", "ü€😀", "", "x" * 1000, "trailing\0"]
    strings = Strings.of(texts)
    assert list(strings) == texts and len(strings) == len(texts) and strings[2] == "ü€😀"
    assert list(Strings.of([])) == []
    for row in (-1, len(texts)):
        with pytest.raises(IndexError):
            strings[row]

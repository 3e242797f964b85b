"""Machine code on disk lives as long as the sources that it was made of."""

import warnings
from pathlib import Path

from lima_bench.datasets.compiled import compiler
from lima_bench.datasets.world.rays import enter

WORLD = Path(__file__).resolve().parents[2] / "datasets" / "world"


def doubled(number):
    return 2 * number


def stamp_of(function):
    return function._cache._cache_file._source_stamp


def test_it_computes_what_the_function_does():
    assert compiler()(doubled)(21) == 42


def test_it_goes_stale_with_every_file_that_it_was_made_of(tmp_path):
    """Numba itself looks at one file; what it inlined from others would outlive their edits."""
    other = tmp_path / "other.py"
    other.write_text("ONE = 1")
    first, again = stamp_of(compiler([other])(doubled)), stamp_of(compiler([other])(doubled))
    other.write_text("ONE = 2")
    edited = stamp_of(compiler([other])(doubled))
    own = stamp_of(compiler()(doubled))
    assert first == again
    assert len({first, edited, own}) == 3


def test_the_worlds_loops_are_made_of_all_of_its_files():
    assert stamp_of(enter) == stamp_of(
        compiler([Path(enter.__code__.co_filename), *WORLD.glob("*.py")])(enter.py_func)
    )


def test_without_numba_functions_stay_as_they_are(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "numba", None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert compiler()(doubled) is doubled
    assert "uncompiled" in str(said[0].message)

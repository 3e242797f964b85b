"""Fixtures that several parts share: where the real recordings lie, one thread for all."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = Path(os.environ.get("LIMA_BENCH_SAMPLES", ROOT.parent / "shared" / "samples"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is cached while tests run goes with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMA_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _less_garbage() -> None:
    """What was imported to collect the tests stays: looking through it over and over takes long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real recordings; their licences keep them out of the repository."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real recordings at {SAMPLES} (LIMA_BENCH_SAMPLES): licences keep them out")
    return SAMPLES

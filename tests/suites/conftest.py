"""What is known in these tests: independent of which methods the package has built today."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.teachers.catalogue import TEACHERS, TeacherCard
from lima_bench.suites.chain import Identity
from lima_bench.suites.expand import Expansion, expand
from lima_bench.suites.known import PLANNED_DATASETS, TASKS, DatasetFacts, Known, Task
from lima_bench.suites.load import load

Call = Callable[..., tuple[int, str, str]]
BUILT = ("random", "slidr", "scalr", "lima")


def _known_with(
    methods: tuple[str, ...] = BUILT,
    teachers: tuple[str, ...] = ("vit_s", "vit_b", "vit_l", "tiny", "random_tiny"),
    datasets: tuple[str, ...] = ("nuscenes", "semantickitti"),
) -> Known:
    """Facts in which exactly these things are built."""

    def card(name: str) -> MethodCard:
        there = METHODS.get(name)
        return there.model_copy(update={"implementation": "x:y" if name in methods else ""})

    def teacher(name: str) -> TeacherCard:
        built = "x:y" if name in teachers else ""
        return TeacherCard(
            name=name, title=name, width=8, stride=4, file=name, source="", implementation=built
        )

    names = TEACHERS.names()
    shares = {"default": "every-nth", "1%": "first"}
    return Known(
        methods={name: card(name) for name in METHODS.names()},
        teachers={name: teacher(name) for name in names},
        weights={name: f"digest of {name}" for name in names},
        datasets={
            name: DatasetFacts(title, 1, shares) if name in datasets else DatasetFacts(title)
            for name, title in PLANNED_DATASETS.items()
        },
        conventions=("every-nth", "first", "other"),
        tasks={**TASKS, "detect": Task("detection")},
    )


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """Run a command line in this process; gives exit code, standard output, standard error."""
    from lima_bench.suites import cli

    monkeypatch.chdir(tmp_path)
    for name in ("LIMA_BENCH_STORE", "LIMA_BENCH_DATA", "LIMA_BENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lima-bench", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture
def known_with() -> Callable[..., Known]:
    """Facts in which exactly the given things are built."""
    return _known_with


@pytest.fixture
def known() -> Known:
    return _known_with()


@pytest.fixture
def world(known: Known) -> Identity:
    parts = {name: {"seed": 0, name: {"scenes": 3}} for name in known.datasets}
    return Identity(world=parts, world_version=1)


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[[str], str]:
    """Writes a suite of the given text and returns its path."""

    def write(text: str, name: str = "mine.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def expanded(world: Identity) -> Callable[..., Expansion]:
    """Load and expand in one go; of a rendered world unless an `identity` is given."""

    def run(
        suite: str, profile: str, known: Known, sets: tuple[str, ...] = (), **options: Any
    ) -> Expansion:
        identity = options.pop("identity", world)
        return expand(load(suite, profile, known, sets), known, identity, **options)

    return run


@pytest.fixture
def fake_stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stage functions that train nothing; see ``fakes/fake_stages.py``."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "fakes"))
    return importlib.import_module("fake_stages").STAGES

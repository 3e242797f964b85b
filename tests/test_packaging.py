"""What is shipped equals the tree, and a foreign package called `datasets` stays importable."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("common", "datasets", "downstream", "lima", "results", "suites")


def packages_in_tree() -> set[str]:
    folders = {path.parent for part in PARTS for path in (ROOT / part).rglob("*.py")}
    return {f"lima_bench.{'.'.join(folder.relative_to(ROOT).parts)}" for folder in folders}


def test_package_list_equals_the_tree() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert sorted(listed) == listed
    assert set(listed) == packages_in_tree()


def test_there_is_no_door_above_the_namespace() -> None:
    assert not (ROOT / "datasets" / "__init__.py").exists()
    assert not (ROOT / "lima_bench").exists()


def test_a_foreign_datasets_stays_importable_from_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("FOREIGN = True\n")
    code = "import datasets; assert datasets.FOREIGN; import lima_bench.datasets.sample"
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_says_that_it_is_typed(part: str) -> None:
    assert (ROOT / part / "py.typed").exists()


def test_importing_the_parts_loads_no_torch() -> None:
    code = (
        "import sys;"
        "import lima_bench.datasets.api, lima_bench.lima.methods.catalogue,"
        " lima_bench.downstream.recipes, lima_bench.results.record, lima_bench.lima;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Imports go one way; light modules stay light; package doors hold a docstring at most."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "common": {"common"},
    "datasets": {"common", "datasets"},
    "lima": {"common", "datasets", "lima"},
    "downstream": {"common", "datasets", "lima", "downstream"},
    "results": {"common", "results"},
    "suites": {"common", "datasets", "lima", "downstream", "results", "suites"},
}
# (importer, imported prefix) that no arrow between folders expresses.
FORBIDDEN = [
    ("datasets", "torch"),
    ("downstream", "lima_bench.lima.methods"),
    ("downstream", "lima_bench.lima.teachers"),
    ("lima", "lima_bench.datasets.nuscenes"),
    ("lima", "lima_bench.datasets.semantickitti"),
    ("lima", "lima_bench.datasets.world"),
    ("lima", "lima_bench.datasets.api"),
    ("results", "torch"),
]
STANDARD_ONLY = "common"


def modules(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module named by an import statement, `from a import b` as a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_arrows(part: str) -> None:
    wrong = []
    for path in modules(part):
        for name in imports(path):
            pieces = name.split(".")
            if pieces[0] == "lima_bench" and len(pieces) > 1 and pieces[1] not in ALLOWED[part]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("part", "prefix"), FORBIDDEN)
def test_forbidden_imports(part: str, prefix: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(part)
        for name in imports(path)
        if name == prefix or name.startswith(f"{prefix}.")
    ]
    assert not wrong, "\n".join(wrong)


def test_common_is_standard_library_only() -> None:
    import sys

    allowed = {*sys.stdlib_module_names, "lima_bench"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(STANDARD_ONLY)
        for name in imports(path)
        if name.split(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_package_doors_hold_a_docstring_at_most() -> None:
    for part in ALLOWED:
        for door in (ROOT / part).rglob("__init__.py"):
            body = ast.parse(door.read_text()).body
            assert len(body) <= 1 and all(isinstance(node, ast.Expr) for node in body), door


def test_files_and_functions_stay_short() -> None:
    wrong = []
    for part in ALLOWED:
        for path in modules(part):
            text = path.read_text()
            if text.count("\n") > 320:
                wrong.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    length = (node.end_lineno or 0) - node.lineno
                    if length > 80:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.name}: {length} lines")
    assert not wrong, "\n".join(wrong)

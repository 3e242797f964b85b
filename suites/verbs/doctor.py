"""``lima-bench doctor``: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import typer

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.identity import VARIABLE as DATA_VARIABLE
from lima_bench.suites.identity import data_root
from lima_bench.suites.machine import core_count, gpu_count
from lima_bench.suites.session import load_plugs, store_folder

_PACKAGES = ("torch", "numpy", "numba", "lightning-fabric", "sacred", "setuptools", "pyarrow")


def doctor(
    subject: str | None,
    name: str | None,
    *,
    data: Path | None,
    plugs: Collection[Path],
    look: Callable[[], int],
) -> int:
    """Look at the machine, or at one subject.

    Args:
        subject: What to look at; None: the machine.
        name: Which one of its kind.
        data: The data root; None: the environment's.
        plugs: Every ``--plug``.
        look: Looks at a data set.

    Returns:
        0, or 2 if something needs the user.
    """
    if subject is None:
        return _machine(data)
    subjects: Mapping[str, Callable[[], int]] = {
        "data": look,
        "gpu": _gpu,
        "weights": _weights,
        "plugin": lambda: _plugin(name, plugs),
    }
    if subject not in subjects:
        raise unknown_name(f"lima-bench doctor {subject}", "subject", subject, subjects)
    return subjects[subject]()


def _machine(data: Path | None) -> int:
    _say("python", platform.python_version())
    _say("cores", str(core_count()))
    _say("gpus", str(gpu_count()))
    for package in _PACKAGES:
        try:
            _say(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            _say(package, "missing: pip install lima-bench")
    _say("store", str(store_folder(None)))
    root = data_root(data)
    _say("data", str(root) if root else f"none ({DATA_VARIABLE}); the built-in world needs none")
    _say("weights", os.environ.get("LIMA_BENCH_WEIGHTS") or "none (LIMA_BENCH_WEIGHTS)")
    return 0


def _gpu() -> int:
    from lima_bench.suites.verbs.doctor_gpu import gpus

    for name, text in gpus():
        _say(name, text)
    return 0


def _weights() -> int:
    """Which teachers could run here; hashes every file that is there."""
    from lima_bench.lima.teachers.catalogue import TEACHERS
    from lima_bench.lima.teachers.files import timm_names, weights_digest

    trouble = 0
    for name in (*TEACHERS.names(), *timm_names()):
        try:
            _say(name, f"here, SHA-256 {weights_digest(TEACHERS.get(name))[:16]}…")
        except UserError as error:
            _say(name, str(error))
            trouble = 2
    return trouble


def _plugin(name: str | None, plugs: Collection[Path]) -> int:
    """Run the conformance kit on a method."""
    from lima_bench.lima.methods.catalogue import METHODS
    from lima_bench.lima.testing import conformance

    load_plugs(plugs)
    if name is None:
        raise UserError("lima-bench doctor plugin", "Which method?", "doctor plugin NAME --plug F")
    findings = conformance(METHODS.get(name, f"lima-bench doctor plugin {name}"))
    for finding in findings:
        detail = f": {finding.detail}" if finding.detail else ""
        typer.echo(f"{'ok' if finding.passed else 'FAILED':8}{finding.check}{detail}")
    return 0 if all(finding.passed for finding in findings) else 2


def _say(name: str, text: str) -> None:
    typer.echo(f"{name:18}{text}")

"""Packages that only some users have: imported where used, and missed with the remedy."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from lima_bench.common.errors import UserError


def optional(package: str, *, extra: str) -> ModuleType:
    """Import `package`, or say which extra of lima-bench brings it.

    Raises:
        UserError: The package is not installed.
    """
    if not available(package):
        raise UserError(
            f"import {package}",
            f"The package {package} is not installed.",
            f'pip install "lima-bench[{extra}]"',
        )
    return importlib.import_module(package)


def available(package: str) -> bool:
    """Whether `package` could be imported; nothing is loaded."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a package inside another one, the outer is absent
        return False

"""Corrupt a nuScenes: ``python -m lima_bench.datasets.nuscenes_c NUSCENES OUT [--only 'fog-*']``.

OUT becomes the folder ``nuscenes_c`` of a data root; its tables are read from the folder
``nuscenes`` beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.nuscenes_c.generate import write_corrupted
from lima_bench.datasets.nuscenes_c.layout import SPLITS


def main(words: Sequence[str] | None = None) -> int:
    """Write the trees that `words` ask for; returns the exit code."""
    asked = _parser().parse_args(words)
    try:
        trees = _chosen(asked.only)
        count = write_corrupted(
            asked.nuscenes, asked.out, split=asked.split, trees=trees, seed=asked.seed, report=_tell
        )
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write(f"{count} frames under {len(trees)} corruptions: {asked.out}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lima_bench.datasets.nuscenes_c", description=__doc__)
    parser.add_argument("nuscenes", type=Path, help="data root with tables, scans and lidarseg")
    parser.add_argument("out", type=Path, help="where nuScenes-C/<corruption>/<level>/ goes")
    parser.add_argument("--split", default="val")
    parser.add_argument("--only", default="*", help="globs with commas, such as fog-*,snow-heavy")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _chosen(globs: str) -> Mapping[str, tuple[str, str]]:
    """The trees that fit one of the globs.

    Raises:
        UserError: A glob fits none.
    """
    patterns = [glob.strip() for glob in globs.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in SPLITS):
            raise unknown_name(f"--only {pattern}", "corruption and level", pattern, SPLITS)
    return {
        name: tree
        for name, tree in SPLITS.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _tell(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
    del metrics
    if done == total or done % 20 == 0:
        sys.stderr.write(f"{done} of {total} frames\n")


if __name__ == "__main__":
    sys.exit(main())

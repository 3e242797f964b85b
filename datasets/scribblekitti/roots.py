"""Where ScribbleKITTI's parts lie: scribbles in its own root, scans there or in SemanticKITTI's.

Offers `Roots` and `find_roots`. Of every sequence, the scans, the dense labels, the poses and the
times are read from one folder: the own root's if it has scans of that sequence, else the
sibling's. Scribbles are always read from the own root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.datasets.numbered_scans import first_folder

_PLACES = ("sequences", "dataset/sequences")


@dataclass(frozen=True)
class Roots:
    """The two folders of sequences.

    Attributes:
        own: Of the data set itself; scribbles lie here.
        sibling: Of SemanticKITTI beside it; None if there is none.
        beside: The sibling's data root, there or not, for messages.
    """

    own: Path
    sibling: Path | None
    beside: Path

    def homes(self) -> dict[str, Path]:
        """The folder of scans of every sequence that has any, by the sequence's name."""
        bases = [base for base in (self.sibling, self.own) if base is not None]
        return {
            folder.name: folder
            for base in bases
            for folder in sorted(base.iterdir())
            if (folder / "velodyne").is_dir()
        }

    def scribbles(self, name: str) -> Path:
        """The folder of a sequence's scribbles.

        Raises:
            UserError: It is absent.
        """
        folder = self.own / name / "scribbles"
        if folder.is_dir():
            return folder
        raise UserError(
            folder,
            f"There are no scribbles of sequence {name} here.",
            "Unpack ScribbleKITTI's archive so that this folder has one .label file a scan.",
        )

    def dense(self, home: Path) -> Path:
        """The folder of dense labels beside a sequence's scans.

        Raises:
            UserError: It is absent.
        """
        if (home / "labels").is_dir():
            return home / "labels"
        raise UserError(
            home / "labels",
            f"There are no dense labels of sequence {home.name}, on which one validates.",
            "Unpack SemanticKITTI's labels (data_odometry_labels.zip) beside the scans.",
        )


def find_roots(root: Path, beside: str) -> Roots:
    """The folders of sequences for a data root.

    Args:
        root: ``<data>/scribblekitti``; may be a link to SemanticKITTI's root with scribbles in it.
        beside: Name of the sibling root, ``semantickitti``.

    Raises:
        UserError: There is no ScribbleKITTI at `root`.
    """
    other = root.absolute().parent / beside
    how = (
        "Expected sequences/00/scribbles/000000.label in <data>/scribblekitti, and velodyne/ and "
        f"labels/ either beside them or in {other}; say where <data> is with --data DIR or "
        "LIMA_BENCH_DATA. Scribbles that were unpacked over SemanticKITTI need a link only: "
        f"ln -s {beside} {root.name}"
    )
    own = first_folder(root, _PLACES, "ScribbleKITTI", how)
    sibling = next((other / place for place in _PLACES if (other / place).is_dir()), None)
    return Roots(own=own, sibling=sibling, beside=other)

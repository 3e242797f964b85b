"""Scribbles of the world: strokes through objects and lines over grounds, about 8 % of all."""

from dataclasses import replace

import numpy as np

from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.scribblekitti.expedition import expedition
from lima_bench.datasets.scribblekitti.scribbles import SHARES, scribbled
from lima_bench.datasets.world.drive import drive as record_drive
from lima_bench.datasets.world.drives import ScribbleKittiDrive
from lima_bench.datasets.world.recording import LidarScan
from lima_bench.datasets.world.spec import WorldSpec

TINY = WorldSpec(
    scribblekitti=ScribbleKittiDrive(train_scans=2, val_scans=2, azimuths=90, max_range_m=40.0)
)


def test_scribbles_are_strokes_and_about_8_percent() -> None:
    recording = record_drive(TINY, "scribblekitti", "train", 0)
    marks, scans = scribbled(recording), [moment.scan for moment in recording.moments]
    labels = np.concatenate([expedition(TINY).rig.scored[scan.label] for scan in scans])
    chosen = np.concatenate(marks)
    assert 0.06 < chosen.mean() < 0.10
    for train_id, share in enumerate(SHARES):
        here = labels == train_id
        assert chosen[here].sum() == max(1, round(share * here.sum()))
    assert not chosen[labels == IGNORE].any()
    rng = np.random.default_rng(0)
    touching, scattered = np.array(
        [_touching(s, m, rng) for s, m in zip(scans, marks, strict=True)]
    ).T
    assert (touching > 0.6).all() and (scattered < 0.35).all()


def _touching(scan: LidarScan, marks: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Scribbled points with a scribbled one beside them, and the same if they were scattered."""
    grid = np.zeros((scan.ring.max() + 3, scan.column.max() + 3), dtype=bool)

    def share(marked: np.ndarray) -> float:
        grid[:] = False
        grid[scan.ring[marked] + 1, scan.column[marked] + 1] = True
        around = np.zeros(grid.shape, dtype=int)
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            around += np.roll(grid, (down, right), axis=(0, 1))
        return float((around[grid] > 0).mean())

    return share(marks), share(rng.permutation(marks))


def test_scribbles_stay_where_they_were_drawn() -> None:
    """Two scans from the same place are scribbled alike; another sequence otherwise."""
    recording = record_drive(TINY, "scribblekitti", "train", 0)
    twice = replace(recording, moments=(recording.moments[0],) * 2)
    first, second = scribbled(twice)
    assert (first != second).mean() < 0.005  # ties at the brush's edge
    other, _ = scribbled(replace(twice, name="10"))
    assert (first != other).mean() > 0.03

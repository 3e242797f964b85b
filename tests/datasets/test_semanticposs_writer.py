"""What the world writes as SemanticPOSS: the range image's order, groups of people, a campus."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.semanticposs.expedition import PANDORA_RAD, expedition
from lima_bench.datasets.semanticposs.writer import raw_labels, write_recording, write_tables
from lima_bench.datasets.world.drive import record
from lima_bench.datasets.world.drives import SemanticPossDrive
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

TINY = WorldSpec(semanticposs=SemanticPossDrive(scans=2, azimuths=90, max_range_m=40.0))


@pytest.fixture(scope="module")
def recording(one_a_cell_drive: Callable[..., Recording]) -> Recording:
    return one_a_cell_drive("00", cameras=())


def test_tags_are_the_range_image_from_the_highest_beam_down(
    recording: Recording, tmp_path: Path
) -> None:
    write_recording(recording, tmp_path)
    scan = recording.moments[0].scan
    tags = np.fromfile(tmp_path / "sequences/00/tag/000000.tag", "?")
    rows = np.fromfile(tmp_path / "sequences/00/velodyne/000000.bin", "<f4").reshape(-1, 4)
    assert len(tags) == 32 * 90 and tags.sum() == len(rows)
    image = np.full((32 * 90, 3), np.nan)
    image[tags] = rows[:, :3]
    image = image.reshape(32, 90, 3)
    for i in (0, 7, 100):
        np.testing.assert_array_equal(image[31 - scan.ring[i], scan.column[i]], scan.points[i])
    np.testing.assert_allclose(np.degrees(PANDORA_RAD[[0, -1]]), [-16, 7])
    assert len(PANDORA_RAD) == 40 and (np.diff(PANDORA_RAD) > 0).all()


def test_people_who_stand_together_are_one_class(recording: Recording) -> None:
    """Raw 5, two or more persons, is where two people are within 1.2 m; both are persons."""
    moment = recording.moments[0]
    person = next(box for box in moment.annotations if box.category.startswith("human"))
    alone = raw_labels(moment) & 0xFFFF
    assert (alone == 4).any() and not (alone == 5).any()
    friend = replace(person, instance=99, centre=person.centre + np.array([1.0, 0, 0]))
    beside = raw_labels(replace(moment, annotations=(*moment.annotations, friend))) & 0xFFFF
    ours = moment.scan.instance == person.instance
    assert (beside[ours] == 5).all() and (beside[~ours] == alone[~ours]).all()
    far = replace(friend, centre=person.centre + np.array([1.3, 0, 0]))
    apart = raw_labels(replace(moment, annotations=(*moment.annotations, far))) & 0xFFFF
    np.testing.assert_array_equal(apart, alone)


def test_two_points_a_cell_cannot_be_said(recording: Recording, tmp_path: Path) -> None:
    scan = recording.moments[0].scan
    twice = replace(scan, ring=scan.ring * 0, column=scan.column * 0)
    with pytest.raises(ValueError, match="one point a cell"):
        write_recording(
            replace(recording, moments=(replace(recording.moments[0], scan=twice),)), tmp_path
        )
    with pytest.raises(ValueError, match="no images"):
        write_tables([], tmp_path, pretrain=["00"])


def test_a_campus_has_riders_and_no_lorries() -> None:
    journey = expedition(TINY)
    seen = np.zeros(len(Label), dtype=np.int64)
    for trip in journey.trips[:3]:
        for moment in record(TINY, journey, trip).moments:
            seen += np.bincount(moment.scan.label, minlength=len(Label))
    assert seen[Label.RIDDEN_BICYCLE] + seen[Label.RIDDEN_MOTORCYCLE] > 50
    assert not seen[[Label.TRUCK, Label.TRAILER, Label.BUS_BENDY, Label.CONSTRUCTION_VEHICLE]].any()

"""Synth4D: its lists of frames in every form, and its towns and sensors in the world."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.synth4d.expedition import SHARE_STRIDE, TOWNS
from lima_bench.datasets.synth4d.raw_ids import RAW
from lima_bench.datasets.synth4d.reader import Synth4d
from lima_bench.datasets.world.drive import drive as record_drive
from lima_bench.datasets.world.drives import Synth4dDrive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

Written = tuple[Path, dict[str, Recording]]
TINY = WorldSpec(
    synth4d=Synth4dDrive(
        train_frames=3, val_frames=1, kitti_frames=2, azimuths=90, max_range_m=40.0
    )
)


@pytest.fixture
def copied(synth4d_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break; without the other set."""
    return Path(
        shutil.copytree(synth4d_root[0], tmp_path / "synth4d", ignore=lambda _, names: {
            name for name in names if name == "kitti_synth"
        })
    )  # fmt: skip


@pytest.fixture
def town(copied: Path) -> Path:
    return copied / "nuscenes_synth" / "Town03"


@pytest.fixture
def training(copied: Path) -> Path:
    return copied / "splits" / "nuscenes_synth" / "training_split.pkl"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_lists_of_any_pickle(
    copied: Path, training: Path, protocol: int, kind: Callable[[list[str]], Any]
) -> None:
    lists = {"Town07": kind(["000002", "000000"]), np.str_("Town03"): kind(["000001"])}
    training.write_bytes(pickle.dumps(lists, protocol))
    ids = [frame.id for frame in Synth4d().frames(copied, "train")]
    assert ids == [f"nuscenes_synth/{name}" for name in
                   ("Town03/000001", "Town07/000000", "Town07/000002")]  # fmt: skip


def test_lists_of_numbers_and_of_json(copied: Path, town: Path, training: Path) -> None:
    training.write_bytes(pickle.dumps({"Town03": np.array([12, 7])}))
    assert [frame.id for frame in Synth4d().frames(copied, "train")] == [
        "nuscenes_synth/Town03/12", "nuscenes_synth/Town03/7",
    ]  # fmt: skip
    training.with_suffix(".json").write_text(json.dumps({"Town06": ["000001"]}))
    assert [f.sequence for f in Synth4d().frames(copied, "train")] == ["Town06"]
    training.unlink()
    assert [f.sequence for f in Synth4d().frames(copied, "train")] == ["Town06"]
    training.with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        Synth4d().frames(copied, "train")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


def test_a_list_that_wants_code(
    copied: Path, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied)
    training.write_bytes(pickle.dumps({"Town03": [Evil()]}))
    with pytest.raises(UserError, match=r"wants \w+\.mkdir, which may run code") as error:
        Synth4d().frames(copied, "train")
    assert error.value.where == str(training) and "JSON" in error.value.how
    assert not (copied / "made-by-a-pickle").exists()


@pytest.mark.parametrize(
    "lists",
    [["Town03"], {"Town03": 5}, {"Town03": [1.5]}, {"Town03": [["000000"]]}, {"Town03": [None]},
     {"Town03": ["../Town06/velodyne/000000"]}, {"..": ["000000"]}, {"Town03": [""]}, 7,
     {"Town03": "000000"}],
)  # fmt: skip
def test_a_list_of_something_else(copied: Path, training: Path, lists: object) -> None:
    training.write_bytes(pickle.dumps(lists))
    with pytest.raises(UserError, match="no table of towns") as error:
        Synth4d().frames(copied, "train")
    assert error.value.where == str(training)


def test_a_list_of_another_town(copied: Path, training: Path) -> None:
    training.write_bytes(pickle.dumps({"Town01": ["000000"]}))
    with pytest.raises(UserError, match=r'no town "Town01"'):
        Synth4d().frames(copied, "train")


def test_shares_keep_every_tenth_of_the_list(synth4d_root: Written) -> None:
    dataset = Synth4d()
    frames = dataset.frames(synth4d_root[0], "train")
    tenth = resolve(dataset.card, frames, "10%")
    assert tenth.name == "10%@stride" and tenth.frames == tuple(frames[::10])


def test_objects_instead_of_numbers(copied: Path, town: Path) -> None:
    for part in ("labels", "velodyne"):
        np.save(town / part / "000000.npy", np.array([Evil()], dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match="holds object, not numbers"):
            Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert not Path("made-by-a-pickle").exists()


def test_towns_differ_and_are_clear() -> None:
    shares, descriptions = {}, set()
    for index, town in enumerate(TOWNS):
        recording = record_drive(TINY, "synth4d", "train", index)
        assert recording.name == f"nuscenes_synth/{town}/000000"
        labels = np.concatenate([RAW[m.scan.label] for m in recording.moments])
        shares[town] = np.bincount(labels, minlength=23) / len(labels)
        descriptions.add(recording.description.split(",")[0])
    assert descriptions <= {"sunny", "cloudy"}
    green, building = 22, 1
    assert shares["Town07"][green] > 2 * shares["Town10HD"][green]
    assert shares["Town10HD"][building] > 2 * shares["Town07"][building]


def test_beams_of_the_two_sets() -> None:
    trips = expedition_of(TINY, "synth4d").of("train")
    beams = {}
    for set_name in ("nuscenes_synth", "kitti_synth"):
        index = next(t.index for t in trips if t.name.startswith(set_name))
        scan = record_drive(TINY, "synth4d", "train", index).moments[0].scan
        beams[set_name] = len(scan.beams.elevations_rad)
        # A simulator's sensor: every point lies on its beam, none strays.
        tilt = np.arcsin(scan.points[:, 2] / np.linalg.norm(scan.points, axis=1))
        np.testing.assert_allclose(tilt, scan.beams.elevations_rad[scan.ring], atol=3e-4)
        assert not (scan.label == Label.NOISE).any()
        assert len(set(scan.ring.tolist())) > 0.6 * beams[set_name]
    assert beams == {"nuscenes_synth": 32, "kitti_synth": 64}


@pytest.mark.parametrize("profile", ["embedded", "smoke"])
def test_the_sparsest_share_shows_every_class(profile: str) -> None:
    """Trips that hold a frame of the 1 % share are drawn until every class is there."""
    trips = expedition_of(named_spec(profile), "synth4d").trips
    assert [t.index for t in trips if t.split == "train"] == list(
        range(sum(t.split == "train" for t in trips))
    )
    assert len({t.name for t in trips}) == len(trips)
    place = {"nuscenes_synth": 0, "kitti_synth": 0}
    for trip in trips:
        if trip.split == "train":
            name = trip.name.split("/")[0]
            chosen = range(-place[name] % SHARE_STRIDE, trip.keyframes, SHARE_STRIDE)
            assert trip.all_classes == (len(chosen) > 0)
            place[name] += trip.keyframes
        else:
            assert trip.all_classes
    assert place["nuscenes_synth"] >= SHARE_STRIDE

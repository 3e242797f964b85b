"""What holds for every data set that the world is written as, and for every variant of its card."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import DATASETS, Card, base_of, open_dataset
from lima_bench.datasets.label_shares import CONVENTIONS
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.spec import SETS, SPECS, WorldSpec

THIN = {"azimuths": 60, "max_range_m": 40.0}
IMAGES = {"image_height": 20, "image_width": 32}
TINY = WorldSpec.model_validate(
    {
        "nuscenes": {
            "train_scenes": 2,
            "train_keyframes": 1,
            "pretrain_scenes": 1,
            "pretrain_keyframes": 2,
            "val_scenes": 1,
            "val_keyframes": 1,
            **THIN,
            **IMAGES,
        },
        "semantickitti": {"train_scans": 1, "val_scans": 1, **THIN, **IMAGES},
        "waymo": {"train_segments": 1, "val_segments": 1, "frames": 2, **THIN, **IMAGES},
        "scribblekitti": {"train_scans": 1, "val_scans": 1, **THIN},
        "rellis3d": {"train_scans": 1, "val_scans": 1, "test_scans": 1, **THIN, **IMAGES},
        "semanticposs": {"scans": 1, **THIN},
        "semanticstf": {"train_frames": 2, "val_frames": 4, "test_frames": 4, **THIN},
        "synlidar": {"train_scans": 1, "val_scans": 1, **THIN},
        "daps3d": {"daps1_scans": 1, "daps2_scans": 1, **THIN},
        "synth4d": {"train_frames": 2, "val_frames": 1, "kitti_frames": 3, **THIN},
        "nuscenes_c": {"scenes": 1},
    }
)
FULL_NAMES = [
    f"{name}:{variant}" if variant else name
    for name in SETS
    for variant in ("", *DATASETS.get(name).card.variants)
]
TABLE_2 = {
    "scribblekitti", "rellis3d", "semanticposs", "semanticstf", "synlidar", "daps3d", "synth4d",
}  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the data root after writing a data set there, once."""
    root = tmp_path_factory.mktemp("every-set")

    def write(name: str) -> Path:
        return build_world(TINY, root, datasets=(base_of(name),)) / base_of(name)

    return write


def split_for(card: Card, role: str) -> str:
    return card.roles.get(role, role)


@pytest.mark.parametrize("name", FULL_NAMES)
def test_the_card_is_whole(name: str) -> None:
    card = open_dataset(name).card
    assert card.name == base_of(name) and card.licence and card.citation and card.source
    assert set(card.labels.values()) == {*range(len(card.classes)), IGNORE}
    assert len({info.name for info in card.classes}) == len(card.classes)
    assert set(card.label_shares.values()) <= set(CONVENTIONS)
    everything = card.remap(np.arange(1 << 16))
    assert set(everything.tolist()) == {*range(len(card.classes)), IGNORE}
    if base_of(name) in TABLE_2:
        assert card.protocol == "assumed" and card.assumed


@pytest.mark.parametrize("name", FULL_NAMES)
def test_every_reading_of_the_world_can_be_trained_and_scored(
    name: str, world: Callable[[str], Path]
) -> None:
    reader = open_dataset(name)
    root = world(name)
    # Some train on everything there is and score elsewhere; nuScenes-C is scored only.
    roles = {"nuscenes_c": ("val",), "synlidar:all13": ("train",)}.get(name, ("train", "val"))
    seen = np.zeros(256, dtype=np.int64)
    for role in roles:
        frames = reader.frames(root, split_for(reader.card, role))
        assert len({frame.id for frame in frames}) == len(frames) > 0
        for frame in pickle.loads(pickle.dumps(list(frames)))[:40]:
            sample = reader.load(frame)
            assert sample.points.dtype == np.float32 and np.isfinite(sample.points).all()
            assert sample.labels is not None and len(sample.labels) == len(sample.points) > 0
            assert not sample.unknown_labels
            seen += np.bincount(sample.labels, minlength=256)
            scale = reader.card.intensity
            if scale.unit == "linear":
                low, high = sample.intensity.min(), sample.intensity.max()
                beyond = name == "nuscenes_c" and "crosstalk" in frame.id
                assert low >= scale.minimum - 1e-6 or beyond
                assert high <= scale.maximum + 1e-6 or beyond
    assert not seen[len(reader.card.classes) : IGNORE].any()
    assert (seen[: len(reader.card.classes)] > 0).sum() > 1


@pytest.mark.parametrize("name", SETS)
def test_train_and_validation_share_no_frame(name: str, world: Callable[[str], Path]) -> None:
    if name == "nuscenes_c":
        pytest.skip("nuScenes-C has no training data")
    reader = open_dataset(name)
    ids = [{f.id for f in reader.frames(world(name), split)} for split in ("train", "val")]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("name", SETS)
def test_the_same_files_elsewhere_have_the_same_manifest(
    name: str, world: Callable[[str], Path], tmp_path: Path
) -> None:
    moved = shutil.copytree(world(name), tmp_path / name)
    reader = open_dataset(name)
    assert reader.manifest(moved) == reader.manifest(world(name))


@pytest.mark.parametrize("name", SETS)
def test_a_missing_root_tells_where_it_was_looked_for(name: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / name
    reader = open_dataset(name)
    asked = ((reader.frames, nowhere, "val"), (reader.frames, tmp_path, "val"))
    for ask, root, *rest in (*asked, (reader.manifest, nowhere)):
        with pytest.raises(UserError) as error:
            ask(root, *rest)
        assert str(root) in str(error.value) and error.value.how


@pytest.mark.parametrize("name", SETS)
def test_every_class_of_the_world_has_a_raw_id(name: str) -> None:
    scored = expedition_of(TINY, name).rig.scored
    assert len(scored) == len(Label)
    assert set(scored.tolist()) <= {*range(len(open_dataset(name).card.classes)), IGNORE}


@pytest.mark.parametrize("profile", sorted(SPECS))
@pytest.mark.parametrize("name", ["semantickitti", "scribblekitti", "rellis3d", "synlidar"])
def test_one_percent_of_the_frames_is_not_empty(name: str, profile: str) -> None:
    trips = expedition_of(SPECS[profile], name).of("train")
    assert sum(trip.keyframes for trip in trips) >= 100


def test_unknown_variants_name_the_nearest() -> None:
    name = next(name for name in FULL_NAMES if ":" in name)
    with pytest.raises(UserError, match="Did you mean"):
        open_dataset(name + "x")

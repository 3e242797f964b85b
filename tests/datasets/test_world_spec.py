"""Settings of the world: what they mean, what they forbid, and that they stay light."""

import subprocess
import sys
from itertools import pairwise

import pytest
from pydantic import ValidationError

from lima_bench.common.errors import UserError
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec, named_spec


def test_digest_depends_on_every_setting() -> None:
    base = WorldSpec()
    others = [
        WorldSpec(seed=1),
        WorldSpec(nuscenes=NuScenesDrive(azimuths=481)),
        WorldSpec(nuscenes=NuScenesDrive(cameras=("CAM_FRONT", "CAM_BACK"))),
    ]
    assert WorldSpec.model_validate(base.model_dump()).digest == base.digest
    assert len({base.digest, *(other.digest for other in others)}) == 4


def test_a_data_set_does_not_depend_on_the_others() -> None:
    base = WorldSpec()
    other = WorldSpec(nuscenes=NuScenesDrive(azimuths=481))
    names = ("nuscenes", "waymo", "nuscenes_c")
    changed = {name for name in names if base.digest_of(name) != other.digest_of(name)}
    assert changed == {"nuscenes", "nuscenes_c"}


def test_longer_scenes_are_spread_over_the_train_split() -> None:
    drive = NuScenesDrive(train_scenes=200, pretrain_scenes=24)
    gaps = [b - a for a, b in pairwise(sorted(drive.pretrain_indices))]
    assert len(drive.pretrain_indices) == 24
    assert set(gaps) <= {8, 9}
    first = min(drive.pretrain_indices)
    assert drive.keyframes("train", first) == 8
    assert drive.keyframes("train", first + 1) == 3
    assert drive.keyframes("val", first) == 2


def test_fewer_scenes_than_longer_ones() -> None:
    assert NuScenesDrive(train_scenes=3, pretrain_scenes=24).pretrain_indices == {0, 1, 2}
    assert NuScenesDrive(train_scenes=0).pretrain_indices == set()


def test_unknown_settings_and_names_are_refused() -> None:
    with pytest.raises(ValidationError):
        WorldSpec.model_validate({"sead": 1})
    with pytest.raises(ValidationError):
        WorldSpec.model_validate({"nuscenes": {"cameras": ["CAM_FRONT", "CAM_FRUNT"]}})
    with pytest.raises(UserError, match='Did you mean "embedded"'):
        named_spec("embeded")


@pytest.mark.parametrize("name", ["embedded", "smoke"])
def test_the_sparsest_label_share_is_not_empty(name: str) -> None:
    assert named_spec(name).nuscenes.train_scenes >= 100


def test_settings_load_no_renderer() -> None:
    code = "import sys, lima_bench.datasets.world.spec; print('numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"

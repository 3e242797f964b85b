"""The feature cache: what the network gives, kept as float16, found by image, whole or absent."""

import pickle

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.lima.batch import Images
from lima_bench.lima.features import CachedTeacher, Grids, LiveTeacher, build_grids
from lima_bench.lima.resize import squeeze
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.tiny import tiny

SIZE = (28, 56)


@pytest.fixture(scope="module")
def grids(source, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache") / "grids"
    return build_grids(teacher, source, SIZE, False, folder, batch_size=4)


def live(teacher, cameras):
    return torch.stack([squeeze(read_image(camera), SIZE) for camera in cameras])


def test_cache_is_the_networks_output(cameras, teacher, grids):
    found = grids.lookup(cameras[::-1])
    assert found.dtype == torch.float16
    expected = teacher(live(teacher, cameras[::-1]))
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=1e-4)


def test_moments_are_those_of_all_cells(cameras, grids):
    cells = grids.lookup(cameras).double().reshape(-1, grids.width)
    torch.testing.assert_close(grids.mean.double(), cells.mean(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(grids.std.double(), cells.std(0, correction=0), rtol=1e-5, atol=0)


def test_cached_and_live_teacher_agree(cameras, teacher, grids):
    two = cameras[:2]
    cached = Images(SIZE, 2, grids=grids.lookup(two))
    pixels = Images(SIZE, 2, pixels=live(teacher, two))
    for standardised in (False, True):
        ours = CachedTeacher.of(grids, standardised=standardised)
        moments = (grids.mean, grids.std) if standardised else ()
        theirs = LiveTeacher(teacher, *moments)
        assert ours.width == theirs.width == 64
        torch.testing.assert_close(ours(cached), theirs(pixels), rtol=1e-2, atol=1e-2)


def test_standardised_channels_have_mean_0_and_deviation_1(cameras, grids):
    images = Images(SIZE, 6, grids=grids.lookup(cameras))
    cells = CachedTeacher.of(grids, standardised=True)(images).reshape(-1, 64)
    torch.testing.assert_close(cells.mean(0), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(cells.std(0, correction=0), torch.ones(64), rtol=0, atol=1e-3)


def test_standardised_equals_z_scores(cameras, grids):
    images = Images(SIZE, 6, grids=grids.lookup(cameras))
    raw = CachedTeacher.of(grids, standardised=False)(images)
    scores = CachedTeacher.of(grids, standardised=True)(images)
    torch.testing.assert_close(scores * grids.std + grids.mean, raw, rtol=1e-4, atol=1e-5)


def test_travels_as_a_folder_name(grids):
    grids.lookup([])
    parcel = pickle.dumps(grids)
    assert len(parcel) < 4000 < grids.store.array.nbytes
    assert np.array_equal(pickle.loads(parcel).store.array, grids.store.array)


def test_reports_every_frame(source, teacher, tmp_path):
    heard = []
    build_grids(teacher, source, SIZE, False, tmp_path / "g", lambda d, t, m=None: heard.append(d))
    assert heard == [0, 0, 1, 1, 2, 2, 3]


def test_finished_cache_is_kept(teacher, grids):
    again = build_grids(teacher, None, SIZE, False, grids.store.folder)
    assert np.array_equal(again.store.array, grids.store.array)


def test_broken_image_leaves_nothing_behind(make_source, teacher, tmp_path):
    source = make_source(tmp_path / "pictures")
    (tmp_path / "pictures" / "2-1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"2-1\.png"):
        build_grids(teacher, source, SIZE, False, tmp_path / "cache" / "grids")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_camera_at_all_tells_so(make_source, teacher, tmp_path):
    source = make_source(tmp_path / "pictures", n_cameras=0)
    with pytest.raises(UserError, match="No frame has an image"):
        build_grids(teacher, source, SIZE, False, tmp_path / "grids")


def test_infinite_feature_is_refused(source, tmp_path):
    network = tiny()
    torch.nn.init.constant_(network.norm.bias, 1e5)
    with pytest.raises(UserError, match="not finite in float16"):
        build_grids(Teacher(TEACHERS.get("tiny"), network), source, SIZE, False, tmp_path / "grids")


def test_unsuitable_size_is_refused_before_any_work(teacher, tmp_path):
    with pytest.raises(UserError, match="30 x 56 is no multiple of 4"):
        build_grids(teacher, None, (30, 56), False, tmp_path / "grids")


def test_missing_folder_tells_remedy(tmp_path):
    with pytest.raises(UserError, match="Nothing is cached here"):
        Grids.open(tmp_path / "nowhere")

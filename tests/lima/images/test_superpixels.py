"""Superpixels: the published SLIC call, cached once, ids of an image never reach the next."""

import numpy as np
import pytest
import torch
from skimage.segmentation import slic

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.lima.segmenters.catalogue import SlicSettings
from lima_bench.lima.segmenters.slic import Slic
from lima_bench.lima.superpixels import Superpixels, build_superpixels


def slic_ids(pixels, n_segments):
    return Slic(SlicSettings(n_segments=n_segments))(pixels)


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    return build_superpixels(source, (28, 56), 20, tmp_path_factory.mktemp("cache") / "slic")


def test_parameters_are_the_published_ones(picture):
    pixels = picture(0, (56, 84))
    expected = slic(pixels, n_segments=20, compactness=6, sigma=3.0, start_label=0)
    assert np.array_equal(slic_ids(pixels, 20), expected)


def test_flat_image_gives_a_regular_lattice():
    """A flat 900 x 1600 image gives 144 = 9 x 16 superpixels at the published setting."""
    ids = slic_ids(np.full((900, 1600, 3), 127, np.uint8), 150)
    assert len(np.unique(ids)) == 144


def test_cut_at_full_size_then_squeezed(cameras, built):
    camera = cameras[3]
    full = slic_ids(read_image(camera), 20)
    rows, cols = np.arange(28) * 2, np.arange(56) * 84 // 56
    assert np.array_equal(built.lookup([camera])[0].numpy(), full[np.ix_(rows, cols)])


def test_slots_bound_every_id_and_are_reached(cameras, built):
    ids = built.lookup(cameras)
    assert ids.dtype == torch.int64
    assert ids.shape == (6, 28, 56)
    assert int(ids.max()) + 1 == built.slots


def test_processes_change_nothing(source, built, tmp_path):
    other = build_superpixels(source, (28, 56), 20, tmp_path / "slic", processes=2)
    files = ("images.bin", "index.json")
    assert [(other.store.folder / f).read_bytes() for f in files] == [
        (built.store.folder / f).read_bytes() for f in files
    ]


def test_unknown_image_tells_remedy(make_source, built, tmp_path):
    strange = make_source(tmp_path, n_frames=9)
    stranger = strange.load(strange.frames[-1]).cameras[-1]
    with pytest.raises(UserError, match="8-1 is not cached"):
        built.lookup([stranger])


def test_truncated_file_tells_which(source, cameras, tmp_path):
    made = build_superpixels(source, (28, 56), 20, tmp_path / "slic")
    data = made.store.folder / "images.bin"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"images.bin\n.*bytes, expected"):
        Superpixels.open(tmp_path / "slic").lookup(cameras)


def test_missing_folder_tells_remedy(tmp_path):
    with pytest.raises(UserError, match="Nothing is cached here"):
        Superpixels.open(tmp_path / "nowhere")


def test_id_beyond_the_slots_is_refused(source, cameras, tmp_path):
    """An id as large as the slot count would silently merge into the next image."""
    made = build_superpixels(source, (28, 56), 20, tmp_path / "slic")
    index = made.store.folder / "index.json"
    index.write_text(
        index.read_text().replace(f'"slots": {made.slots}', f'"slots": {made.slots - 1}')
    )
    with pytest.raises(UserError, match="damaged"):
        Superpixels.open(tmp_path / "slic").lookup(cameras)

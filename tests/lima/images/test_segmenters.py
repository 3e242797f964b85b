"""Where masks come from: files of published segmenters, plug-ins, clusters of a teacher."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.lima.api import load_plugin
from lima_bench.lima.features import Grids
from lima_bench.lima.image_store import write_store
from lima_bench.lima.segmenters.catalogue import SEGMENTERS
from lima_bench.lima.segmenters.clusters import Clusters, connected, spherical_kmeans
from lima_bench.lima.segmenters.load import cutter
from lima_bench.lima.superpixels import Superpixels, build_segments

SIZE = (28, 56)

PLUGIN = '''
"""Dark, bright, and nothing between."""
import numpy as np
from lima_bench.lima.api import SegmenterSettings, register_segmenter

class BrightSettings(SegmenterSettings):
    dark: int = 90
    bright: int = 160

@register_segmenter("brightness", version=3, settings=BrightSettings)
class Brightness:
    n_ids = 2
    def __init__(self, settings):
        self.settings = settings
    def __call__(self, pixels):
        mean = pixels.mean(axis=2)
        ids = np.full(mean.shape, -1)
        ids[mean < self.settings.dark] = 0
        ids[mean > self.settings.bright] = 1
        return ids
'''


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(SEGMENTERS, "_entries", dict(SEGMENTERS._entries))


@pytest.fixture
def masks(cameras, tmp_path):
    """A folder with a mask per image of ids 0 to 4, and what they were made from."""
    rng = np.random.default_rng(0)
    made = {c.id: rng.integers(0, 5, (c.height, c.width)).astype(np.uint8) for c in cameras}
    for name, ids in made.items():
        Image.fromarray(ids).save(tmp_path / f"{name}.png")
    return tmp_path, made


def _folder(path, source, out, **settings):
    card = SEGMENTERS.get("folder")
    cut = cutter(card, {"path": "masks", **settings}, SIZE, files=path)
    return build_segments(source, SIZE, cut, out)


@pytest.mark.parametrize(("first_id", "slots"), [(0, 5), (1, 4)])
def test_files_are_read_by_the_conventions_of_their_makers(
    masks, source, cameras, tmp_path, first_id, slots
):
    """SAM and SuperFlow use every value; of SEEM and CSC, 0 belongs to no segment."""
    path, made = masks
    found = _folder(path, source, tmp_path / "out", first_id=first_id)
    assert found.slots == slots
    rows, cols = np.arange(28) * 2, np.arange(56) * 84 // 56
    for camera in cameras:
        wanted = made[camera.id].astype(int)[np.ix_(rows, cols)] - first_id
        assert torch.equal(found.lookup([camera])[0], torch.from_numpy(np.maximum(wanted, -1)))


def test_classes_have_their_slots_whether_they_appear_or_not(masks, source, tmp_path):
    assert _folder(masks[0], source, tmp_path / "out", n_ids=17).slots == 17


def test_palettes_hold_ids_too(masks, source, cameras, tmp_path):
    path, made = masks
    picture = Image.fromarray(made[cameras[0].id]).convert("P")
    picture.putpalette([0] * 768)
    values = np.array(picture)
    picture.save(path / f"{cameras[0].id}.png")
    found = _folder(path, source, tmp_path / "out").lookup(cameras[:1])[0]
    assert found[0, 0] == values[0, 0]


def _shrink(file, ids):
    Image.fromarray(ids[::2]).save(file)


def _deepen(file, ids):
    Image.fromarray(ids.astype(np.uint16)).save(file)


def _colour(file, ids):
    Image.fromarray(np.stack([ids] * 3, -1)).save(file)


def _lift(file, ids):
    Image.fromarray(ids + 3).save(file)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file, ids: file.unlink(), r"mask of image 0-1 \(CAM_1\) is missing"),
        (_shrink, "84 x 28 pixels, its image 84 x 56"),
        (_deepen, "no picture of 8-bit ids.*I;16"),
        (_colour, "no picture of 8-bit ids.*RGB"),
        (_lift, "holds the id 7, but ids end at 5"),
        (lambda file, ids: file.write_bytes(b"\x89PNG\r\n\x1a\nno"), "cannot be read"),
    ],
)
def test_a_broken_mask_is_told_and_nothing_is_kept(masks, source, tmp_path, spoil, message):
    path, made = masks
    spoil(path / "0-1.png", made["0-1"])
    with pytest.raises(UserError, match=message) as caught:
        _folder(path, source, tmp_path / "out", n_ids=6)
    assert caught.value.where.endswith("0-1.png")
    assert not (tmp_path / "out").exists()


def test_a_plug_in_cuts_pixels(source, cameras, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    load_plugin(file)
    card = SEGMENTERS.get("brightness")
    assert card.version == 3
    cut = cutter(card, {"dark": 100}, SIZE)
    found = build_segments(source, SIZE, cut, tmp_path / "out")
    assert found.slots == 2
    ids = torch.cat([found.lookup([camera]) for camera in cameras])
    assert {-1, 0, 1} == set(ids.unique().tolist())
    assert found.store.facts["covered"] == pytest.approx(float((ids >= 0).float().mean()))
    assert found.store.array.dtype == np.uint16


@dataclass
class _Says:
    """A segmenter that gives what it was given."""

    ids: np.ndarray
    n_ids: int | None = None

    def __call__(self, pixels):
        return self.ids


@pytest.mark.parametrize(
    ("ids", "n_ids", "message"),
    [
        (np.zeros((3, 3), int), None, r"shape \(3, 3\) for an image of \(56, 84\)"),
        (np.zeros((56, 84)), None, "float64"),
        (np.full((56, 84), -2), None, "numbered -2 to -2"),
        (np.full((56, 84), 65_535), None, "numbered 65535 to 65535"),
        (np.full((56, 84), 4), 4, "the segment 4, but there are only 4"),
    ],
)
def test_a_segmenter_that_breaks_its_contract_is_refused(source, tmp_path, ids, n_ids, message):
    card = SEGMENTERS.get("slic").model_copy(update={"implementation": lambda _: _Says(ids, n_ids)})
    with pytest.raises(UserError, match=message):
        build_segments(source, SIZE, cutter(card, {}, SIZE), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_without_any_segment_have_a_slot(source, cameras, tmp_path):
    nothing = _Says(np.full((56, 84), -1))
    card = SEGMENTERS.get("slic").model_copy(update={"implementation": lambda _: nothing})
    found = build_segments(source, SIZE, cutter(card, {}, SIZE), tmp_path / "out")
    assert found.slots == 1
    assert (Superpixels.open(tmp_path / "out").lookup(cameras) == -1).all()


@pytest.fixture(scope="module")
def grids(cameras, tmp_path_factory):
    """Features of 7 x 14 cells that point one way left, another way right of a column per image."""
    rng = np.random.default_rng(0)
    ways = np.eye(3) * 5

    def items():
        for number, camera in enumerate(cameras):
            grid = np.repeat(ways[[number % 2, 2]], [number + 4, 10 - number], axis=0)
            grid = grid[None] + rng.normal(0, 0.1, (7, 14, 3))
            yield camera.id, grid.astype(np.float16)

    everything = np.concatenate([g.reshape(-1, 3) for _, g in items()]).astype(float)
    facts = {"mean": everything.mean(0).tolist(), "std": everything.std(0).tolist()}
    folder = tmp_path_factory.mktemp("grids") / "grids"
    write_store(folder, items(), lambda: facts)
    return Grids.open(folder)


def test_classes_are_the_clusters_of_the_whole_data_set(grids, source, cameras, tmp_path):
    card = SEGMENTERS.get("kmeans")
    cut = cutter(card, {"n_ids": 3}, SIZE, grids=grids.store.folder)
    found = build_segments(source, SIZE, cut, tmp_path / "out")
    assert found.slots == 3
    ids = found.lookup(cameras)
    left, right = {int(i[0, 0]) for i in ids[::2]}, {int(i[0, -1]) for i in ids}
    assert len(left) == len(right) == 1  # the same way has the same id in every image
    assert left | right | {int(ids[1, 0, 0])} == {0, 1, 2}
    border = (ids[0, 14] == ids[0, 14, 0]).sum()
    assert 14 <= int(border) <= 16  # the fourth of 14 cells ends a quarter of 56 pixels in


@pytest.mark.parametrize("name", ["kmeans", "regions"])
def test_what_cuts_is_made_alike_and_travels_between_processes(grids, cameras, name):
    card = SEGMENTERS.get(name)
    one, other = (cutter(card, {}, SIZE, grids=grids.store.folder) for _ in range(2))
    sent = pickle.loads(pickle.dumps(other))
    assert np.array_equal(one(cameras[0]), other(cameras[0]))
    assert np.array_equal(one(cameras[0]), sent(cameras[0]))


def test_regions_are_told_apart_within_an_image(grids, source, cameras, tmp_path):
    card, settings = SEGMENTERS.get("regions"), {"n_clusters": 3, "least_share": 0.01}
    cut = cutter(card, settings, SIZE, grids=grids.store.folder)
    ids = build_segments(source, SIZE, cut, tmp_path / "r").lookup(cameras)
    assert set(ids[0].unique().tolist()) == {0, 1}
    assert (ids[0] == 0).sum() > (ids[0] == 1).sum()


def test_regions_touch_by_their_sides_and_are_numbered_by_size():
    classes = np.array([[5, 5, 0, 2], [5, 0, 5, 2], [0, 0, 5, 5]])
    found = connected(classes, least_share=0.0, most=9)
    assert found.tolist() == [[0, 0, 4, 3], [0, 1, 2, 3], [1, 1, 2, 2]]
    assert connected(classes, least_share=0.2, most=9).max() == 2
    assert connected(classes, least_share=0.0, most=1).tolist()[0] == [0, 0, -1, -1]


def test_kmeans_finds_well_separated_directions():
    rng = np.random.default_rng(0)
    ways = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    sizes = [50, 10, 40, 20, 60, 30]
    vectors = np.repeat(ways, sizes, axis=0) + rng.normal(0, 0.05, (210, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centres = spherical_kmeans(vectors, 6, np.random.default_rng(1))
    order = np.argsort(sizes)[::-1]
    assert (np.sum(centres * ways[order], axis=1) > 0.99).all()
    assert np.allclose(np.linalg.norm(centres, axis=1), 1)
    again = spherical_kmeans(vectors, 6, np.random.default_rng(1))
    assert np.array_equal(centres, again)


def test_more_clusters_than_directions_are_survived(grids):
    same = np.tile([[1.0, 0.0]], (5, 1))
    assert spherical_kmeans(same, 3, np.random.default_rng(0)).shape == (3, 2)
    assert Clusters.of(grids, 40, SIZE).centres.shape == (40, 3)


@pytest.mark.parametrize(("name", "lacks"), [("kmeans", "features"), ("folder", "files")])
def test_a_segmenter_without_what_it_needs_is_told(name, lacks):
    with pytest.raises(UserError, match=f"needs {lacks}"):
        cutter(SEGMENTERS.get(name), {"path": "x"} if name == "folder" else {}, SIZE)

"""What every reader shares: images, rigid transforms, cards' ranges, manifests."""

import os
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.images import read_image
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.nuscenes.reader import CARD
from lima_bench.datasets.rigid import apply, inverse, quaternion, rigid, rotation
from lima_bench.datasets.sample import Camera, EncodedImage


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return Camera("CAM_FRONT", "x", tmp_path / "image.png", np.eye(3), np.eye(4), 40, 30)


def test_image(camera: Camera) -> None:
    pixels = read_image(camera)
    assert pixels.shape == (30, 40, 3) and pixels.dtype == np.uint8 and pixels.flags.writeable
    Image.fromarray(pixels[:, :, 0]).save(camera.image)  # grey
    np.testing.assert_array_equal(read_image(camera)[:, :, 2], pixels[:, :, 0])


def test_image_missing_or_of_another_size(camera: Camera) -> None:
    with pytest.raises(UserError, match="40 x 30 pixels, but camera CAM_FRONT is 1600 x 900"):
        read_image(replace(camera, width=1600, height=900))
    camera.image.unlink()
    with pytest.raises(UserError, match="image is missing") as error:
        read_image(camera)
    assert error.value.where == str(camera.image)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_image_cut_short(camera: Camera, suffix: str) -> None:
    path = camera.image.with_suffix(f".{suffix}")
    Image.open(camera.image).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"no image at all"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read") as error:
            read_image(replace(camera, image=path))
        assert str(path) in str(error.value)


def test_image_inside_a_larger_file(camera: Camera) -> None:
    whole = camera.image.read_bytes()
    inside = EncodedImage(camera.image, "frame 3, camera 2", partial(bytes, whole))
    held = replace(camera, image=inside)
    np.testing.assert_array_equal(read_image(held), read_image(camera))
    assert held.file == camera.file == camera.image
    travelled = pickle.loads(pickle.dumps(held))
    np.testing.assert_array_equal(read_image(travelled), read_image(camera))
    for content in (whole[: len(whole) // 2], b""):
        broken = replace(inside, read=partial(bytes, content))
        with pytest.raises(UserError, match="cannot be read") as error:
            read_image(replace(camera, image=broken))
        assert error.value.where == f"{camera.image}: frame 3, camera 2"
    with pytest.raises(UserError, match="40 x 30 pixels") as error:
        read_image(replace(held, width=41))
    assert error.value.where.endswith("camera 2")


def test_rotations_and_quaternions() -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(size=(200, 4))
    turns = rotation(q)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.tile(np.eye(3), (200, 1, 1)),
                               atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    np.testing.assert_allclose([rotation(quaternion(t)) for t in turns], turns, atol=1e-12)
    # w comes first: a quarter turn about z takes x to y
    np.testing.assert_allclose(
        rotation([np.sqrt(0.5), 0, 0, np.sqrt(0.5)]) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )
    for half_turn in np.eye(4)[1:]:
        np.testing.assert_allclose(np.abs(quaternion(rotation(half_turn))), half_turn, atol=1e-12)


def test_inverse_of_a_rigid_transform() -> None:
    transform = rigid(rotation([0.3, -0.2, 0.9, 0.1]), [4, 5, 6])
    np.testing.assert_allclose(inverse(transform), np.linalg.inv(transform), atol=1e-12)
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    moved = apply(transform, points)
    assert moved.dtype == np.float64
    np.testing.assert_allclose(apply(inverse(transform), moved), points, atol=1e-12)


def test_ranges_in_a_card() -> None:
    facts = Card.read(CARD).model_dump() | {"splits": {"a": ["s{08..11}", "x"], "b": ["{3..3}t"]}}
    splits = Card.model_validate(facts).splits
    assert splits == {"a": ("s08", "s09", "s10", "s11", "x"), "b": ("3t",)}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (b"name: x\nsplits: [a\nclasses: b: c\n", ":3", "This is no YAML: "),
        (b"name: \0\n", "", "This is no YAML: "),
        (b"name: \xe9\n", "", "This is no YAML: "),
        (b"", "", "valid dictionary"),
        (b"name: 3\n", ": name", "valid string"),
    ],
)
def test_a_card_that_is_none(tmp_path: Path, text: bytes, where: str, what: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=what) as error:
        Card.read(path)
    assert error.value.where == f"{path}{where}" and "\n" not in error.value.what


def test_manifest_is_of_names_sizes_and_contents(tmp_path: Path) -> None:
    def digest() -> str:
        return manifest_digest(
            tmp_path, contents=[tmp_path / "list.txt"], sizes=[tmp_path / "scans"]
        )

    (tmp_path / "scans" / "a").mkdir(parents=True)
    scan, listed = tmp_path / "scans" / "a" / "0.bin", tmp_path / "list.txt"
    scan.write_bytes(b"1234")
    seen = [digest()]
    listed.write_text("one")
    seen.append(digest())
    os.utime(scan, (1, 1))  # a copy with other times is the same data
    assert digest() == seen[-1]
    listed.write_text("two")
    os.utime(listed, (1, 1))
    seen.append(digest())
    scan.write_bytes(b"12345")
    seen.append(digest())
    scan.rename(scan.with_name("1.bin"))
    seen.append(digest())
    assert len(set(seen)) == 5
    (tmp_path / "scans" / ".hidden").write_text("")
    assert digest() == seen[-1]


def test_manifest_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        manifest_digest(tmp_path / "nowhere", contents=[], sizes=[])

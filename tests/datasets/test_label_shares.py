"""Label shares: the published counts, the order they depend on, and what selects nothing."""

import json
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.semantickitti.reader import SemanticKitti

NUSCENES, KITTI = NuScenes.card, SemanticKitti.card
KITTI_SCANS = {
    "00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101,
    "09": 1591, "10": 1201,
}  # fmt: skip


def scenes(names: list[str], n_frames: int = 2) -> list[Frame]:
    return [Frame(f"{name}-{i}", name, i, float(i)) for name in names for i in range(n_frames)]


def scans() -> list[Frame]:
    return [
        Frame(f"{sequence}/{i:06}", sequence, i, i / 10)
        for sequence, count in KITTI_SCANS.items()
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("share", "n_scenes"), [("1%", 7), ("5%", 35), ("10%", 70), ("20%", 140), ("25%", 175)]
)
def test_scenes_of_nuscenes(share: str, n_scenes: int) -> None:
    names = list(NUSCENES.splits["train"])
    chosen = resolve(NUSCENES, scenes(names), share)
    assert chosen.convention == "slidr-scene" and chosen.name == f"{share}@slidr-scene"
    kept = list(dict.fromkeys(f.sequence for f in chosen.frames))
    assert len(kept) == n_scenes and len(chosen.frames) == 2 * n_scenes
    step = 700 // n_scenes
    assert kept == names[step - 1 :: step]  # the first is the step-th, not the first of all


def test_scenes_of_the_real_list(samples: Path) -> None:
    lists = json.loads((samples / "splits" / "nuscenes_scenes.json").read_text())
    assert set(NUSCENES.splits["pretrain"]) == set(lists["slidr_pretrain_600"])
    counts = {
        share: len(resolve(NUSCENES, scenes(lists["train"], 1), share).frames)
        for share in ("1%", "5%", "10%", "25%", "100%")
    }
    assert list(counts.values()) == [7, 35, 70, 175, 700]


def test_scans_of_semantickitti() -> None:
    frames = scans()
    assert len(frames) == 19130
    chosen = resolve(KITTI, frames, "1%")
    assert len(chosen.frames) == 192 and chosen.name == "1%@slidr-stride"
    assert [f.id for f in chosen.frames[:2]] == ["00/000000", "00/000100"]
    shuffled = resolve(KITTI, frames[::-1], "1%")
    assert shuffled.digest == chosen.digest


def test_the_order_of_scenes_matters() -> None:
    names = list(NUSCENES.splits["train"])
    one = resolve(NUSCENES, scenes(names), "1%")
    other = resolve(NUSCENES, scenes(names[::-1]), "1%")
    assert one.digest != other.digest


def test_a_named_convention_wins_over_the_cards() -> None:
    frames = scenes([f"s{i:03}" for i in range(100)], 3)
    assert len(resolve(NUSCENES, frames, "1%@slidr-stride").frames) == 3
    assert {f.sequence for f in resolve(NUSCENES, frames, "1%@slidr-scene").frames} == {"s099"}
    card = NUSCENES.model_copy(update={"label_shares": {"1%": "slidr-stride"}})
    assert resolve(card, frames, "1%").convention == "slidr-stride"
    with pytest.raises(UserError, match="no convention for 5%"):
        resolve(card, frames, "5%")


def test_everything() -> None:
    frames = scenes(["b", "a"])
    assert list(resolve(NUSCENES, frames, "100%").frames) == frames


def test_nothing_selected() -> None:
    with pytest.raises(UserError, match=r"selects nothing.*99 sequences with 198 frames") as error:
        resolve(NUSCENES, scenes([f"s{i}" for i in range(99)]), "1%")
    assert "1%@slidr-stride" in error.value.how
    with pytest.raises(UserError, match="selects nothing"):
        resolve(KITTI, [], "100%")


@pytest.mark.parametrize("share", ["1", "0%", "101%", "-5%", "%", "half", "1%%", ""])
def test_not_a_share(share: str) -> None:
    with pytest.raises(UserError, match="not a share"):
        resolve(NUSCENES, scenes(["a"]), share)


def test_unknown_convention() -> None:
    with pytest.raises(UserError, match='Did you mean "slidr-scene"'):
        resolve(NUSCENES, scenes(["a"]), "1%@slider-scene")

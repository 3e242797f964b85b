"""Label shares: the published counts, the order they depend on, and what selects nothing."""

import json
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.label_shares import CONVENTIONS, resolve
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.datasets.share_lists import folder_of

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


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_everything_is_everything_by_any_rule(convention: str) -> None:
    frames = scenes(["a", "b"])
    assert set(resolve(NUSCENES, frames, f"100%@{convention}").frames) == set(frames)


def test_detection_follows_the_scene_rule_and_is_nested() -> None:
    names = list(NUSCENES.splits["train"])
    kept = {}
    for share, n_scenes in (("5%", 35), ("10%", 70), ("20%", 140)):
        chosen = resolve(NUSCENES, scenes(names), f"{share}@detection-scene")
        kept[share] = {frame.sequence for frame in chosen.frames}
        assert len(kept[share]) == n_scenes and len(chosen.frames) == 2 * n_scenes
        assert chosen.digest == resolve(NUSCENES, scenes(names), f"{share}@slidr-scene").digest
    assert kept["5%"] < kept["10%"] < kept["20%"]


@pytest.mark.parametrize("rule", ["stride", "slidr-stride"])
def test_detection_may_follow_the_frame_rule(rule: str) -> None:
    """Nested too, but every scene is in it: neighbours of a labelled frame are not labelled."""
    frames = scenes(list(NUSCENES.splits["train"]), 40)
    kept = {
        share: resolve(NUSCENES, frames, f"{share}@{rule}").frames for share in ("5%", "10%", "20%")
    }
    assert [len(chosen) for chosen in kept.values()] == [1400, 2800, 5600]
    few, more, most = ({frame.id for frame in chosen} for chosen in kept.values())
    assert few < more < most
    assert len({frame.sequence for frame in kept["5%"]}) == 700


def test_stride_follows_time_and_slidr_stride_follows_names() -> None:
    """Names that are no longer than their numbers sort 0, 1, 10, 11, 2, ..."""
    frames = [Frame(f"{s}/{i}", s, i, float(i)) for s in ("b", "a") for i in range(12)]
    by_time = resolve(KITTI, frames[::-1], "25%@stride")
    assert [f.id for f in by_time.frames] == ["a/0", "a/4", "a/8", "b/0", "b/4", "b/8"]
    by_name = resolve(KITTI, frames[::-1], "25%@slidr-stride")
    assert [f.id for f in by_name.frames] == ["a/0", "a/2", "a/6", "b/0", "b/2", "b/6"]
    padded = scans()
    assert resolve(KITTI, padded, "1%@stride").digest == resolve(KITTI, padded, "1%").digest


def test_stride_crosses_the_ends_of_sequences() -> None:
    frames = scenes(["a", "b", "c"], 3)
    chosen = resolve(KITTI, frames, "50%@stride").frames
    assert [f.id for f in chosen] == ["a-0", "a-2", "b-1", "c-0", "c-2"]


def test_sequences_that_the_card_lists() -> None:
    shares = {"50%": ("00", "01"), "100%": ("00", "01", "03")}
    card = KITTI.model_copy(
        update={"sequence_shares": shares, "label_shares": {"default": "sequence"}}
    )
    frames = scenes(["00", "01", "03", "04"])
    half = resolve(card, frames, "50%")
    assert half.name == "50%@sequence" and [f.id for f in half.frames] == [
        "00-0", "00-1", "01-0", "01-1",
    ]  # fmt: skip
    assert {f.sequence for f in resolve(card, frames, "100%").frames} == {"00", "01", "03"}
    with pytest.raises(UserError, match="no sequences for 10%") as error:
        resolve(card, frames, "10%")
    assert "50%, 100%" in error.value.how
    with pytest.raises(UserError, match="means the sequences 00, 01; 01 lies not here"):
        resolve(card, scenes(["00", "03"]), "50%")


def test_nothing_selected() -> None:
    with pytest.raises(UserError, match=r"selects nothing.*99 sequences with 198 frames") as error:
        resolve(NUSCENES, scenes([f"s{i}" for i in range(99)]), "1%")
    assert "1%@slidr-stride" in error.value.how
    with pytest.raises(UserError, match="selects nothing"):
        resolve(KITTI, [], "100%")


@pytest.mark.parametrize("share", ["30%", "40%", "75%", "96%", "99.9%"])
def test_shares_that_are_not_one_of_a_whole_number(share: str) -> None:
    """One of three is no 30 %, and one of one no 75 %."""
    with pytest.raises(UserError, match="One of every"):
        resolve(KITTI, scans(), share)


@pytest.mark.parametrize(("share", "step"), [("3%", 33), ("33%", 3), ("0.5%", 200), ("50%", 2)])
def test_shares_that_are_nearly_one_of_a_whole_number(share: str, step: int) -> None:
    assert len(resolve(KITTI, scans(), share).frames) == -(-19130 // step)


@pytest.mark.parametrize("share", ["1", "0%", "101%", "-5%", "%", "half", "1%%", ""])
def test_not_a_share(share: str) -> None:
    with pytest.raises(UserError, match="not a share"):
        resolve(NUSCENES, scenes(["a"]), share)


def test_unknown_convention() -> None:
    with pytest.raises(UserError, match='Did you mean "slidr-scene"'):
        resolve(NUSCENES, scenes(["a"]), "1%@slider-scene")


def real_list(samples: Path, name: str, folder: Path) -> Path:
    """Copy a list to where a user puts it; returns the folder of lists."""
    place = folder_of(folder) / "lasermix-list"
    place.mkdir(parents=True, exist_ok=True)
    source = samples / "splits" / "lasermix" / name
    (place / name).write_text(source.read_text())
    return folder_of(folder)


def test_published_lists_of_semantickitti(samples: Path, tmp_path: Path) -> None:
    kept = {}
    for share, n_scans in (("1%", 191), ("10%", 1913)):
        lists = real_list(samples, f"semantickitti_{share[:-1]}pct.txt", tmp_path)
        chosen = resolve(KITTI, scans(), f"{share}@lasermix-list", lists=lists)
        assert len(chosen.frames) == n_scans == int(float(share[:-1]) / 100 * 19130)
        ids = [frame.id for frame in chosen.frames]
        assert ids == sorted(ids)  # the order of the data set
        kept[share] = set(ids)
    assert kept["1%"] < kept["10%"]
    lines = {
        s: (samples / f"splits/lasermix/semantickitti_{s}pct.txt").read_text() for s in (1, 10)
    }
    assert lines[10].startswith(lines[1])


def test_published_lists_of_nuscenes_name_samples(samples: Path, tmp_path: Path) -> None:
    """They name samples; a frame is called by its scan, and knows its sample by another name."""
    lines = {s: (samples / f"splits/lasermix/nuscenes_{s}pct.txt").read_text() for s in (1, 10)}
    assert lines[10].startswith(lines[1])
    tokens = lines[10].split()
    frames = [
        Frame(f"scan of {token}", "scene-0001", i, float(i), alias=token)
        for i, token in enumerate([*sorted(tokens), *(f"other {i}" for i in range(28130 - 2813))])
    ]
    for share, n_frames in (("1%", 281), ("10%", 2813)):
        lists = real_list(samples, f"nuscenes_{share[:-1]}pct.txt", tmp_path)
        chosen = resolve(NUSCENES, frames, f"{share}@lasermix-list", lists=lists)
        assert len(chosen.frames) == n_frames == int(float(share[:-1]) / 100 * len(frames))
        assert {frame.alias for frame in chosen.frames} == set(tokens[:n_frames])


def listed(folder: Path, text: str | bytes, name: str = "semantickitti_1pct.txt") -> Path:
    path = folder_of(folder) / "lasermix-list" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder_of(folder)


def test_lists_that_are_missing(tmp_path: Path) -> None:
    for lists in (None, tmp_path, listed(tmp_path, "x", "semantickitti_10pct.txt")):
        with pytest.raises(UserError, match=r"no file \*_1pct.txt in .*lasermix-list") as error:
            resolve(KITTI, scans(), "1%@lasermix-list", lists=lists)
        assert "PJLab-ADG/OpenPCSeg" in error.value.how


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "/a/00/velodyne/000001.bin\n/a/08/velodyne/000001.bin\n",
            "1 of 2 scans .* 08/000001 first",
        ),
        ("/a/00/velodyne/000001.bin\n/b/00/velodyne/000001.bin\n", "names 00/000001 2 times"),
        ("\n \n", "empty"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, text: str | bytes, what: str) -> None:
    with pytest.raises(UserError, match=what) as error:
        resolve(KITTI, scans(), "1%@lasermix-list", lists=listed(tmp_path, text))
    assert error.value.where.endswith("lasermix-list/semantickitti_1pct.txt")


def test_two_lists_for_one_share(tmp_path: Path) -> None:
    listed(tmp_path, "00/velodyne/000001.bin", "a_1pct.txt")
    with pytest.raises(UserError, match=r"a_1pct.txt and b_1pct.txt both"):
        lists = listed(tmp_path, "00/velodyne/000002.bin", "b_1pct.txt")
        resolve(KITTI, scans(), "1%@lasermix-list", lists=lists)

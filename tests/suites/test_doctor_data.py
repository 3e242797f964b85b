"""``doctor data`` and ``run`` on real formats, whole and broken: one message, exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lima_bench.datasets.world import spec as specs
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.spec import WorldSpec
from tests.suites.breakage import BROKEN, NUSCENES, SETS, spec_of

Call = Callable[..., tuple[int, str, str]]

SUITE = """
schema: 1
name: one
title: One column
rows: [{id: random, method: random}]
columns: [{id: all, task: finetune, on: DATASET, labels: 100%}]
"""
PROFILE = """
schema: 1
name: files
title: The smoke test's sizes on files
variant: one_teacher
teacher: tiny
recipes:
  standard:
    student: smoke-student
    pretrain: smoke-pretrain
    linear_probe: smoke-linear-probe
    finetune: smoke-finetune
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A data root with one data set, written once."""
    made: dict[str, Path] = {}

    def root_of(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            made[name] = build_world(spec_of(name), folder, datasets=(name,))
        return made[name]

    return root_of


@pytest.fixture
def call(command_line: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """`command_line`, with a cache of its own."""
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setenv("LIMA_BENCH_CACHE", str(tmp_path / "cache"))
    return command_line


@pytest.fixture
def copied(whole: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a data root that a test may break."""

    def copy(name: str) -> Path:
        shutil.copytree(whole(name) / name, tmp_path / "data" / name)
        return tmp_path / "data"

    return copy


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, which takes a second: for tests that do not look at it."""
    monkeypatch.setattr("lima_bench.suites.examine.picture.draw", lambda *_: None)


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# --- broken


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "way"), BROKEN)
def test_a_broken_root_gets_one_message(
    name: str, way: str, call: Call, copied: Callable[[str], Path], tmp_path: Path
) -> None:
    data = copied(name)
    broken = SETS[name].breaks[way](data / name, SETS[name])
    left = files_below(data)
    code, out, err = call("doctor", "data", name, "--data", str(data), "--store", "s")
    assert code == 2
    assert "Traceback" not in out + err
    told = [line for line in (out + err).splitlines() if line.removeprefix("✗ ") == str(broken)]
    assert len(told) == 1, out + err
    assert files_below(data) == left
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("name", "way"), BROKEN)
def test_a_run_on_a_broken_root_keeps_nothing(
    name: str, way: str, call: Call, copied: Callable[[str], Path], tmp_path: Path
) -> None:
    data = copied(name)
    broken = SETS[name].breaks[way](data / name, SETS[name])
    (tmp_path / "one.yaml").write_text(SUITE.replace("DATASET", name))
    (tmp_path / "files.yaml").write_text(PROFILE)
    words = ("--profile", "files.yaml", "--data", str(data), "--store", "s", "--quiet")
    code, out, err = call("run", "one.yaml", *words, "--executor", "inline")
    assert code == 2
    assert str(broken) in err
    assert "Traceback" not in out + err
    store = tmp_path / "s"
    assert not [path for path in store.rglob("*.json") if "finetune" in path.parts]
    # The first weights do not depend on data.
    assert {path.name for path in store.glob("artifacts/*/*")} <= {"checkpoint.safetensors"}


@pytest.mark.parametrize("name", SETS)
def test_a_missing_root_is_an_error_not_a_report(name: str, call: Call, tmp_path: Path) -> None:
    code, out, err = call("doctor", "data", name, "--data", str(tmp_path), "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path / name}\n") and "LIMA_BENCH_DATA" in err
    assert files_below(tmp_path) == []


# --- whole


@pytest.mark.parametrize("name", SETS)
def test_a_whole_root_is_fine(
    name: str, call: Call, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    data = whole(name)
    words = ("--data", str(data), "--out", "pictures", "--json", "facts.json")
    code, out, err = call("doctor", "data", name, *words)
    assert code == 0, out
    assert ": fine" in out and "✗" not in out
    assert "train frames" in err
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["fine"] and facts["dataset"] == name
    assert {"train", "val"} <= set(facts["splits"])
    for split in facts["splits"].values():
        counts = split["classes"]
        assert split["looked_at"] == split["frames"] > 0
        assert split["labelled"] == split["frames"]
        assert sum(counts.values()) == split["points"]["all"] > 1000
        assert sum(map(bool, counts.values())) >= 4
        assert not split["missing"] and not split["unknown"]
        assert split["points_seen"] < max(split["points_of_frames_with_images"], 1)
        assert bool(split["points_seen"]) == bool(split["images"])
    n_files = len([p for p in files_below(data / name) if not Path(p).name.startswith(".")])
    assert sum(folder["n_files"] for folder in facts["folders"].values()) == n_files
    with Image.open(tmp_path / "pictures" / f"{name}.png") as picture:
        assert picture.width == 1650 and picture.height > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("undrawn")
def test_few_frames_are_spread(call: Call, whole: Callable[[str], Path], tmp_path: Path) -> None:
    data = whole("semantickitti")
    words = ("--data", str(data), "--frames", "3", "--json", "f.json", "--quiet")
    assert call("doctor", "data", "semantickitti", *words) == (0, "", "")
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["splits"]["train"]["looked_at"] == 3
    assert facts["listed_files_checked"] == 3 * 11


def test_a_profile_is_rendered_once(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {**NUSCENES, "train_scenes": 1, "pretrain_keyframes": 1}
    spec = WorldSpec.model_validate({"seed": 3, "nuscenes": settings})
    monkeypatch.setitem(specs.SPECS, "smoke", spec)
    monkeypatch.setattr("lima_bench.suites.machine.core_count", lambda: 1)
    words = ("doctor", "data", "nuscenes", "--profile", "smoke", "--store", "s", "--quiet")
    assert call(*words) == (0, "", "")
    assert (tmp_path / "s/doctor/nuscenes.smoke.png").is_file()
    (manifest,) = (tmp_path / "s/doctor").glob("world-*/nuscenes/manifest.json")
    made = manifest.stat().st_mtime_ns
    monkeypatch.setattr("lima_bench.suites.examine.picture.draw", lambda *_: None)
    assert call(*words) == (0, "", "")
    assert manifest.stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Which data set?"),
        (("semantickiti",), 'Did you mean "semantickitti"?'),
        (("semantickitti:val9",), 'There is no card variant "val9"'),
        (("semantickitti",), "No data root is given."),
        (("semantickitti", "--data", "d", "--frames", "0"), "At least one frame."),
        (("semantickitti", "--data", "d", "--profile", "smoke"), "Give --profile or --data."),
        (("semantickitti", "--profile", "smok"), 'Did you mean "smoke"?'),
    ],
)
def test_what_the_user_can_mend(words: tuple[str, ...], expected: str, call: Call) -> None:
    code, out, err = call("doctor", "data", *words)
    assert (code, out) == (2, "")
    assert expected in err and "Traceback" not in err


# --- what a part of it says


@pytest.mark.usefixtures("undrawn")
def test_missing_files_are_counted_without_loading_all(
    call: Call, copied: Callable[[str], Path]
) -> None:
    data = copied("nuscenes")
    folder = data / "nuscenes/samples/CAM_BACK"
    gone = sorted(folder.iterdir())[1]
    gone.unlink()
    code, out, _ = call("doctor", "data", "nuscenes", "--data", str(data), "--frames", "1")
    assert code == 2
    assert f"✗ {folder}\n" in out
    assert f"1 of 4 files are missing or empty, {gone.name} first." in out


@pytest.mark.usefixtures("undrawn")
def test_absent_sequences_are_named(call: Call, copied: Callable[[str], Path]) -> None:
    data = copied("semantickitti")
    (data / "semantickitti/splits.json").unlink()
    shutil.rmtree(data / "semantickitti/dataset/sequences/04")
    code, out, _ = call("doctor", "data", "semantickitti", "--data", str(data))
    assert code == 2
    assert "1 of 10 sequences of SemanticKITTI train are missing: 04." in out
    assert "None of the 11 sequences of SemanticKITTI test lies here." in out
    assert "SemanticKITTI: 1 thing needs you, 1 to look at" in out


# --- real recordings


def test_the_real_keyframe(call: Call, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/nuscenes").symlink_to(samples / "nuscenes/frame_ca9a282c")
    code, out, _ = call("doctor", "data", "nuscenes", "--data", "data", "--json", "f.json")
    assert code == 2
    assert "699 of 700 sequences of nuScenes train are missing" in out
    assert "have no labels" in out
    split = json.loads((tmp_path / "f.json").read_text())["splits"]["mini_train"]
    assert split["points"]["median"] == 34_688 and split["points_seen"] == 20_184
    assert split["points_seen_by"]["CAM_BACK"] == 4_822
    assert (split["boxes"], split["boxes_exact"]) == (68, 60)
    assert (tmp_path / "runs/doctor/nuscenes.png").is_file()


def test_the_real_labelled_scan(call: Call, samples: Path, tmp_path: Path) -> None:
    root = tmp_path / "data/semantickitti"
    shutil.copytree(samples / "semantickitti/spvnas_scan", root / "sequences/00")
    (root / "splits.json").write_text('{"train": ["00"]}')
    code, _, _ = call("doctor", "data", "semantickitti", "--data", "data", "--json", "f.json")
    assert code == 0
    split = json.loads((tmp_path / "f.json").read_text())["splits"]["train"]
    counts = split["classes"]
    assert (counts["car"], counts["person"], counts["ignored"]) == (1_534, 161, 6_924)
    assert split["points"]["all"] == 123_389
    assert (tmp_path / "runs/doctor/semantickitti.png").is_file()

"""An outside checkpoint as a row: names, tables and keys."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lima_bench.lima.adopt.kernels import SPCONV_ZYX
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.recipes import GridBounds, StudentSettings
from lima_bench.lima.student import Student
from lima_bench.suites.known import BACKBONES
from lima_bench.suites.load import builtin
from lima_bench.suites.recipe import Recipe, read_recipe
from lima_bench.suites.session import Request, open_session
from lima_bench.suites.tables import table_of
from lima_bench.suites.verbs import adopt as verb
from lima_bench.suites.verbs import run as run_verb

Call = Callable[..., tuple[int, str, str]]

SMOKE = StudentSettings.model_validate(
    {
        "backbone": "minkunet_tiny",
        "voxels": {"size": [1.0, 3.0, 1.0]},
        "inputs": {"intensity": "unit"},
    }
)


def ours(path: Path, settings: StudentSettings = SMOKE, seed: int = 0) -> Path:
    """A checkpoint of ours, of a student that nobody taught."""
    torch.manual_seed(seed)
    channels = len(settings.inputs.channels)
    student = Student(build_backbone(settings.backbone, channels, bn_momentum=0.1))
    meta = {"backbone": settings.backbone, "student": settings.model_dump(mode="json")}
    save_student(path, student, meta)
    return path


@pytest.fixture
def call(command_line: Call, monkeypatch: pytest.MonkeyPatch, fake_stages: dict[str, str]) -> Call:
    """`command_line`, where nothing is trained."""
    monkeypatch.setattr(run_verb, "STAGE_FUNCTIONS", fake_stages)
    return command_line


@pytest.fixture
def adopted(call: Call, tmp_path: Path) -> Call:
    """`call`, after a tiny checkpoint of ours was adopted as ``mine``."""
    code, _, err = call("adopt", str(ours(tmp_path / "w.bin")), "--as", "mine")
    assert (code, err) == (0, "")
    return call


def test_adopting_says_what_was_used(call: Call, tmp_path: Path) -> None:
    code, out, err = call("adopt", str(ours(tmp_path / "w.bin")), "--as", "mine")
    assert (code, err) == (0, "")
    assert "w.bin: layout lima-bench, network minkunet_tiny" in out
    assert "as in smoke-student: cylindrical voxels 1 x 3 x 1, round" in out
    assert "lima-bench run table1 --only mine" in out
    folder = tmp_path / "runs" / "adopted" / "mine"
    assert {path.name for path in folder.iterdir()} == {"adopted.json", "checkpoint.safetensors"}
    assert str(tmp_path) not in (folder / "adopted.json").read_text()


def test_the_same_file_again_changes_nothing(adopted: Call, tmp_path: Path) -> None:
    before = (tmp_path / "runs/adopted/mine/adopted.json").stat().st_mtime_ns
    (tmp_path / "w.bin").rename(tmp_path / "moved.bin")
    code, out, _ = adopted("adopt", "moved.bin", "--as", "mine")
    assert code == 0 and "mine is this checkpoint already" in out
    assert (tmp_path / "runs/adopted/mine/adopted.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine", "mine is another checkpoint of this store: w.bin (layout lima-bench, SHA-256"),
        ("slidr", "A method has this name."),
        ("adopted", "A method has this name."),
        ("slidr-r50", "has a row of this name."),
        ("a.b", "A row cannot have this name."),
        ("a,b", "A row cannot have this name."),
        ("..", "A row cannot have this name."),
        ("-x", "A row cannot have this name."),
        ("a/b", "A row cannot have this name."),
        ("m*", "A row cannot have this name."),
    ],
)
def test_names_that_are_taken_or_none(
    name: str, expected: str, adopted: Call, tmp_path: Path
) -> None:
    other = str(ours(tmp_path / "other.bin", seed=1))
    code, out, err = adopted("adopt", other, f"--as={name}")
    assert (code, out) == (2, "")
    assert expected in err and "Traceback" not in err
    assert [p.name for p in (tmp_path / "runs/adopted").iterdir()] == ["mine"]


def test_what_cannot_be_adopted_leaves_no_store(call: Call, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    code, _, err = call("adopt", "w.pth", "--as", "mine")
    assert code == 2 and "cut off or damaged" in err
    assert not (tmp_path / "runs").exists()
    assert call("adopt", "gone.pth", "--as", "mine")[0] == 2


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ("slidr-student", "takes 4 channels a voxel; the student recipe slidr-student feeds it 1"),
        ("paper-pretrain", "This recipe is for pretrain, not for a student."),
        ("paper-studnt", 'Did you mean "paper-student"?'),
    ],
)
def test_a_student_that_does_not_fit(
    student: str, expected: str, call: Call, tmp_path: Path
) -> None:
    path = str(ours(tmp_path / "w.bin"))
    code, _, err = call("adopt", path, "--as", "mine", "--student", student)
    assert code == 2 and expected in err
    assert not (tmp_path / "runs").exists()


def test_a_student_of_ones_own(call: Call, tmp_path: Path) -> None:
    text = Path(builtin("recipe")["paper-student"]).read_text().replace("0.1, 1.0, 0.1", "2, 3, 4")
    (tmp_path / "grid.yaml").write_text(text.replace("paper-student", "grid"))
    path = str(ours(tmp_path / "w.bin"))
    code, out, _ = call("adopt", path, "--as", "mine", "--student", "./grid.yaml")
    assert code == 0 and "as in grid: cylindrical voxels 2 x 3 x 4" in out


def test_every_layout_has_a_student_recipe() -> None:
    from lima_bench.lima.adopt.layouts import LAYOUTS

    assert set(verb.STUDENTS) == set(LAYOUTS)
    for name, layout in ((name, LAYOUTS[name]) for name in verb.STUDENTS):
        recipe = verb._recipe(verb.STUDENTS[name], "test")
        wanted = StudentSettings.model_validate(recipe.settings)
        assert wanted.backbone in {n.removesuffix("_residual") for n in layout.networks}
        assert len(wanted.inputs.channels) == (1 if "slidr" in wanted.backbone else 4)


def released_voxelnet(path: Path, channels: int = 4) -> Path:
    """A VoxelNet as SLidR releases it: spconv's weights, its projection, its own settings."""
    torch.manual_seed(0)
    network = build_backbone("voxelnet", channels, bn_momentum=0.1)
    state = {
        name: torch.randn(SPCONV_ZYX.shape(tuple(t.shape))) if t.ndim > 1 else t
        for name, t in network.state_dict().items()
    }
    state["final.weight"] = torch.zeros(64, 1, 1, 1, 128)
    config = {"cylindrical_coordinates": False, "model_points": "voxelnet"}
    torch.save({"model_points": state, "epoch": 50, "config": config}, path)
    return path


def test_a_released_voxelnet_is_fed_as_its_authors_do(call: Call, tmp_path: Path) -> None:
    path = released_voxelnet(tmp_path / "w.pt")
    code, out, err = call("adopt", str(path), "--as", "theirs")
    assert (code, err) == (0, "")
    assert "layout openpcdet, network voxelnet" in out
    assert "model_points.final.* (1): head of pretraining" in out
    assert "as in voxelnet-student: cartesian voxels 0.1 x 0.1 x 0.2, floor" in out
    kept = json.loads((tmp_path / "runs" / "adopted" / "theirs" / "adopted.json").read_text())
    student = StudentSettings.model_validate(kept["student"]["settings"])
    assert student.voxels.bounds == GridBounds() and student.inputs.max_range_m == 51.2


def test_a_voxelnet_with_a_time_lag_is_told(call: Call, tmp_path: Path) -> None:
    path = released_voxelnet(tmp_path / "w.pt", channels=5)
    code, _, err = call("adopt", str(path), "--as", "theirs")
    assert code == 2 and "takes 5 channels a voxel; the student recipe voxelnet-student" in err


def test_the_row_runs_and_is_seen_everywhere(adopted: Call, tmp_path: Path) -> None:
    code, out, err = adopted(
        "run", "table1", "--only", "mine", "--columns", "nus-lp,nus-1%", "--executor", "inline"
    )
    assert code == 0 and "4 jobs to do" in err  # the world, the weights, two tasks
    assert "mine‖" in out and "from w.bin (layout lima-bench, SHA-256" in out
    with (tmp_path / "runs/tables/table1.embedded.csv").open() as file:
        lines = {(line["row"], line["column"]): line for line in csv.DictReader(file)}
    line = lines["mine", "nus-lp"]
    assert (line["method"], line["student"]) == ("adopted", "minkunet_tiny")
    assert "adopted" in line["flags"] and line["value"]
    assert "random" in {row for row, _ in lines}
    assert "mine" in adopted("show", "table1")[1]
    assert "adopt" in adopted("plan", "table1", "--only", "mine")[1]
    code, out, _ = adopted("why", "table1", "mine", "nus-lp")
    assert code == 0 and "mine was taught elsewhere: w.bin (layout lima-bench" in out
    assert "adopt" in out and "weights = " in out
    assert "minkunet_tiny, w.bin" in adopted("list", "adopted")[1]
    assert adopted("export", "table1", "--latex", "t.tex")[0] == 0
    assert r"mine$^{\|}$" in (tmp_path / "t.tex").read_text()


def test_only_and_profiles(adopted: Call) -> None:
    for profile in ("embedded", "smoke"):
        assert "mine" in adopted("show", "table2", "--profile", profile, "--only", "mine")[1]
    out = adopted("plan", "table1", "--profile", "paper", "--only", "mine", "--json")[1]
    assert {cell["row"] for cell in json.loads(out)["cells"]} == {"mine"}


def test_guests_break_no_check(call: Call, tmp_path: Path) -> None:
    small = ("--only", "random,mine", "--columns", "nus-lp")
    run = ("run", "table1", "--only", "random", "--columns", "nus-lp", "--executor", "inline")
    assert call(*run, "--quiet")[0] == 0
    before, *_ = call("check", "table1", "--only", "random", "--columns", "nus-lp")
    call("adopt", str(ours(tmp_path / "w.bin")), "--as", "mine")
    code, out, _ = call("check", "table1", *small)
    assert code == before
    assert "missing" in next(line for line in out.splitlines() if " mine " in line)


def test_golden_numbers_leave_guests_out(
    adopted: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lima_bench.results import golden_files

    adopted("run", "table1", "--only", "random,mine", "--columns", "nus-lp", "--executor=inline")
    session = open_session(Request(suite="table1", store=tmp_path / "runs"), write=False)
    text = golden_files.to_golden(table_of(session, session.plan(accept_stale=True)), tolerance=1.0)
    assert "random,nus-lp" in text and "mine" not in text


def test_a_suite_may_name_it_itself(adopted: Call, tmp_path: Path) -> None:
    text = """
schema: 1
name: own
title: Ours beside theirs
defaults: {pretrain_on: nuscenes}
rows:
  - {id: random, method: random}
  - {id: theirs, adopted: mine, method: slidr, title: SLidR of its authors}
  - {id: lost, adopted: other}
columns:
  - {id: lp, task: linear_probe, on: nuscenes}
  - {id: hours, measure: pretrain.wall_hours}
"""
    (tmp_path / "own.yaml").write_text(text)
    found = json.loads(adopted("plan", "own.yaml", "--json")[1])
    rows = {(c["row"], c["column"]): (c["state"], c["reason"]) for c in found["cells"]}
    assert {row for row, _ in rows} == {"random", "theirs", "lost"}  # named once, no guest
    assert rows["theirs", "lp"] == ("missing", "")
    assert rows["theirs", "hours"][1].startswith("adopted: what its teaching took")
    assert rows["lost", "lp"] == ("unavailable", "not adopted in this store: other")
    assert "SLidR of its authors" in adopted("show", "own.yaml")[1]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("{id: a}", 'The key "method" is missing.'),
        ("{id: a, adopted: mine, student: minkunet34}", "brings its student"),
        ("{id: mine, method: random}", "has a row mine, and so is an adopted checkpoint"),
        (
            "{id: mine-second, method: random, detector: second}",
            "has a row mine-second, and so is an adopted checkpoint of the store called with",
        ),
    ],
)
def test_rows_that_contradict_themselves(
    row: str, expected: str, adopted: Call, tmp_path: Path
) -> None:
    text = f"schema: 1\nname: own\ntitle: x\nrows:\n  - {row}\ncolumns:\n"
    (tmp_path / "own.yaml").write_text(text + "  - {id: lp, task: linear_probe, on: nuscenes}\n")
    code, _, err = adopted("plan", "own.yaml")
    assert code == 2 and expected in err


def test_a_suite_of_detectors_asks_each_of_them(adopted: Call) -> None:
    found = json.loads(adopted("plan", "table3", "--only", "mine-*", "--json")[1])
    assert {cell["row"] for cell in found["cells"]} == {"mine-centerpoint", "mine-second"}
    assert {cell["reason"] for cell in found["cells"]} == {
        "no bird's-eye map: minkunet_tiny is no detector's encoder, a VoxelNet is"
    }


def test_equal_weights_are_one_job(adopted: Call, tmp_path: Path) -> None:
    assert adopted("adopt", "w.bin", "--as", "again")[0] == 0
    found = json.loads(adopted("plan", "table1", "--only", "mine,again", "--json")[1])
    assert len([job for job in found["jobs"] if job["stage"] == "adopt"]) == 1
    adopted("adopt", str(ours(tmp_path / "v.bin", seed=1)), "--as", "third")
    found = json.loads(adopted("plan", "table1", "--only", "mine,third", "--json")[1])
    assert len([job for job in found["jobs"] if job["stage"] == "adopt"]) == 2


def test_damaged_entries_are_told(adopted: Call, tmp_path: Path) -> None:
    facts = tmp_path / "runs/adopted/mine/adopted.json"
    whole = facts.read_text()
    for text, expected in (
        ("{", "damaged"),
        (whole.replace('"format": 1', '"format": 9'), "reads up to 1"),
    ):
        facts.write_text(text)
        code, _, err = adopted("show", "table1")
        assert code == 2 and expected in err
    facts.write_text(whole)
    facts.with_name("checkpoint.safetensors").unlink()
    assert "no checkpoint.safetensors in this entry" in adopted("show", "table1")[2]
    facts.unlink()
    code, _, err = adopted("adopt", "w.bin", "--as", "mine")
    assert code == 2 and "This folder is in the way" in err


def test_a_checkpoint_of_a_known_recipe_keeps_its_rules(tmp_path: Path) -> None:
    """What we taught on nuScenes is fed on Waymo as the recipe says, not as on nuScenes."""
    settings = verb._recipe("paper-student", "test").resolved(
        changes={"backbone": "minkunet_tiny"}, on="nuscenes"
    )
    kept = verb._recipe_like(settings)
    assert kept.name == "paper-student"
    recipe = Recipe(kept.name, "student", kept.settings, kept.when)
    assert recipe.resolved(on="waymo")["inputs"]["intensity"] == "unit"
    strange = {**settings, "voxels": {**settings["voxels"], "size": (9.0, 9.0, 9.0)}}
    assert verb._recipe_like(strange).name == "its own"


def test_known_backbones_are_those_of_the_catalogue() -> None:
    built = ("minkunet34", "minkunet34_slidr", "minkunet18", "minkunet50", "minkunet_tiny")
    assert all(BACKBONES[name] for name in built)
    assert {"spvcnn", "frnet", "voxelnet"} <= BACKBONES.keys()


def test_student_recipes_read() -> None:
    from lima_bench.suites.drafts import Draft
    from lima_bench.suites.yaml_lines import read_document

    for name in ("hvdistill-student", "mmdet3d-student", "slidr-student"):
        draft = Draft.of(read_document(builtin("recipe")[name]))
        assert read_recipe(draft) is not None and draft.errors == []

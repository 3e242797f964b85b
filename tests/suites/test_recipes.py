"""The published recipes, number by number, and the rules by which methods and students differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.suites.chain import Identity
from lima_bench.suites.expand import Expansion
from lima_bench.suites.known import Known
from lima_bench.suites.load import builtin, load
from lima_bench.suites.recipe import Recipe
from lima_bench.suites.yaml_lines import parse_document

FAMILY = (
    "slidr",
    "ppkt",
    "st_slidr",
    "tricc",
    "csc",
    "hvdistill",
    "pointcontrast",
    "gcc3d",
    "seal",
)
FILES = Identity(manifests={"nuscenes": "files"})


@pytest.fixture
def recipe(known: Known) -> Callable[[str], Recipe]:
    return load("table1", "paper", known).recipes.__getitem__


@pytest.mark.parametrize("name", builtin("recipe"))
def test_rules_name_what_there_is(name: str, known: Known) -> None:
    """A mistyped name would just never apply."""
    rules = parse_document(builtin("recipe")[name].read_text(), name=name).lookup(("when",)) or []
    kinds = {"method": known.methods, "student": BACKBONES.names(), "on": known.datasets}
    for rule in rules:
        for kind, names in kinds.items():
            wanted = rule.get(kind, [])
            for one in [wanted] if isinstance(wanted, str) else wanted:
                assert one in names, (kind, one)


@pytest.mark.parametrize(
    ("method", "scans", "lr", "epochs"),
    [
        ("slidr", 4 * 4, 2.0, 50),
        ("ppkt", 4 * 4, 2.0, 50),
        ("st_slidr", 2 * 8, 0.5, 50),
        ("tricc", 8 * 2, 2.0, 20),
        ("csc", 2 * 8, 2.0, 50),
        ("hvdistill", 4 * 4, 0.5, 50),
        ("pointcontrast", 4 * 4, 2.0, 50),
        ("gcc3d", 8 * 4, 1e-3, 40),
        ("seal", 2 * 16, 0.01, 50),
    ],
)
def test_pretraining_of_the_slidr_family(
    recipe: Callable[[str], Recipe], method: str, scans: int, lr: float, epochs: int
) -> None:
    found = recipe("slidr-pretrain").resolved(method=method, student="minkunet34_slidr")
    optimiser = found["optimiser"]
    devices = {"gcc3d": 8, "tricc": 8, "st_slidr": 2, "csc": 2, "seal": 2}.get(method, 4)
    assert (found["batch_size"] * devices, optimiser["lr"]) == (scans, lr)
    assert found["length"]["epochs"] == epochs
    if method in ("gcc3d", "seal"):
        assert (optimiser["kind"], found["schedule"]["kind"]) == ("adamw", "onecycle")
    else:
        assert (optimiser["kind"], found["schedule"]["kind"]) == ("sgd", "cosine_epoch")
        assert (optimiser["momentum"], optimiser["dampening"]) == (0.9, 0.1)
        assert optimiser["weight_decay"] == 1e-4
    assert found["bn_momentum"] == 0.05 and found["precision"] == "32-true"


def test_augmentation_of_the_slidr_family(recipe: Callable[[str], Recipe]) -> None:
    found = {m: recipe("slidr-pretrain").resolved(method=m) for m in FAMILY}
    for method in ("slidr", "ppkt", "st_slidr", "tricc", "csc", "seal"):
        assert found[method]["augmentation"] == {
            "rotation_deg": 180.0,
            "flip_probability": 0.5,
            "flips": "each",
            "scale": [1.0, 1.0],
            "translation_m": 0.0,
            "cuboid": 0.2,
            "cuboid_pairs": 1024,
        }
    moved = found["hvdistill"]["augmentation"]
    assert moved["rotation_deg"] == pytest.approx(0.39269 * 180 / 3.14159, abs=1e-3)
    assert (moved["translation_m"], moved["scale"], moved["cuboid"]) == (0.5, [0.9, 1.1], 0.0)
    crops = {
        "crop_area": [0.3, 1.0],
        "crop_aspect": pytest.approx([14 / 9, 17 / 9]),
        "keep_pairs": 1024,
        "keep_share": 0.75,
        "flip_probability": 0.5,
    }
    for method in FAMILY:
        blind = method in ("pointcontrast", "gcc3d")
        assert found[method]["images"] == (None if blind else crops), method
    assert found["gcc3d"]["augmentation"]["rotation_deg"] == 45.0


@pytest.mark.parametrize(
    ("method", "batch_size", "lr"),
    [("slidr", 6, 0.01), ("csc", 8, 0.01), ("tricc", 2, 0.01), ("gcc3d", 4, 1e-3)],
)
def test_pretraining_of_voxelnet(
    recipe: Callable[[str], Recipe], method: str, batch_size: int, lr: float
) -> None:
    found = recipe("slidr-pretrain").resolved(method=method, student="voxelnet")
    assert (found["batch_size"], found["optimiser"]["lr"]) == (batch_size, lr)
    assert found["superpixels"] == 30
    assert recipe("paper-pretrain").resolved(method="lima", student="voxelnet")["superpixels"] == 30


def test_the_cached_variant_differs_in_the_images_alone(recipe: Callable[[str], Recipe]) -> None:
    def facts(name: str, **given: str) -> dict[str, Any]:
        return recipe(name).resolved(**given) | {"images": None}

    for student in ("minkunet34_slidr", "voxelnet"):
        for method in FAMILY:
            given = {"method": method, "student": student}
            assert facts("slidr-pretrain", **given) == facts("slidr-cached-pretrain", **given)
    assert recipe("slidr-cached-pretrain").resolved(method="slidr")["images"] is None


def test_students_of_the_slidr_family(recipe: Callable[[str], Recipe]) -> None:
    student = recipe("slidr-student")
    plain, hv = (student.resolved(method=m, on="nuscenes") for m in ("slidr", "hvdistill"))
    assert plain["backbone"] == hv["backbone"] == "minkunet34_slidr"
    assert (plain["voxels"]["kind"], plain["voxels"]["size"]) == ("cylindrical", [0.1, 1.0, 0.1])
    assert (hv["voxels"]["kind"], hv["voxels"]["size"]) == ("cartesian", [0.1, 0.1, 0.1])
    assert hv["voxels"]["rounding"] == "floor" and hv["inputs"]["channels"] == ["intensity"]
    assert hv["inputs"]["box_m"] == [[-51.2, -51.2, -5.0], [51.2, 51.2, 3.0]]
    kitti = student.resolved(method="hvdistill", on="semantickitti")
    assert kitti["inputs"]["intensity"] == "raw_plus_one"


@pytest.mark.parametrize("name", ["slidr-student", "paper-student"])
@pytest.mark.parametrize("backbone", ["voxelnet", "voxelnet_residual"])
def test_voxelnet_is_fed_a_grid_with_bounds(
    recipe: Callable[[str], Recipe], name: str, backbone: str
) -> None:
    found = recipe(name).resolved(changes={"backbone": backbone}, on="nuscenes")
    assert (found["voxels"]["kind"], found["voxels"]["rounding"]) == ("cartesian", "floor")
    assert found["voxels"]["size"] == [0.1, 0.1, 0.2]
    assert found["voxels"]["bounds"] == {
        "lower": [-51.2, -51.2, -5.0],
        "upper": [51.2, 51.2, 3.0],
        "max_points": 10,
        "max_cells": 60_000,
        "spare_layers": 0,
    }
    inputs = found["inputs"]
    assert inputs["channels"] == ["x", "y", "z", "intensity"]
    assert inputs["max_range_m"] == 51.2 and inputs["box_m"][0][2] == -5.0


@pytest.mark.parametrize("profile", ["embedded", "smoke", "paper"])
@pytest.mark.parametrize("text", ["defaults.student=voxelnet", "student.backbone=voxelnet"])
def test_a_student_brings_its_grid_however_it_is_named(
    profile: str, text: str, expanded: Callable[..., Expansion], known: Known
) -> None:
    table = expanded("table1", profile, known, (text,), only="scalr*", columns="nus-lp")
    jobs = [job for job in table.jobs.values() if job.stage == "pretrain"]
    assert jobs
    for job in jobs:
        assert job.config["student"]["backbone"] == "voxelnet"
        assert job.config["student"]["voxels"]["bounds"] is not None


@pytest.mark.parametrize(
    ("method", "labels", "on", "expected"),
    [
        ("slidr", "1%", "nuscenes", (16, 0.02, 2.0, 100)),
        ("slidr", "100%", "nuscenes", (16, 0.02, 2.0, 50)),
        ("slidr", "1%", "semantickitti", (10, 0.05, 2.0, 100)),
        ("tricc", "1%", "nuscenes", (16, 0.02, 2.0, 100)),
        ("hvdistill", "1%", "semantickitti", (10, 0.05, 2.0, 100)),
        ("st_slidr", "1%", "nuscenes", (16, 0.02, 2.0, 50)),
        ("st_slidr", "1%", "semantickitti", (10, 0.05, 2.0, 50)),
        ("csc", "1%", "nuscenes", (16, 0.02, 2.0, 100)),
        ("csc", "100%", "nuscenes", (16, 0.02, 2.0, 100)),
        ("csc", "1%", "semantickitti", (10, 0.1, 4.0, 100)),
        ("random", "10%", "nuscenes", (16, 0.05, None, 100)),
    ],
)
def test_finetuning_of_the_slidr_family(
    recipe: Callable[[str], Recipe], method: str, labels: str, on: str, expected: tuple[Any, ...]
) -> None:
    found = recipe("slidr-finetune").resolved(method=method, labels=labels, on=on)
    epochs = found["length"]["epochs"]
    assert (found["batch_size"], found["optimiser"]["lr"], found["head_lr"], epochs) == expected


@pytest.mark.parametrize(
    ("method", "lr", "epochs"), [("slidr", 0.05, 50), ("st_slidr", 0.05, 50), ("csc", 2.0, 100)]
)
def test_probing_of_the_slidr_family(
    recipe: Callable[[str], Recipe], method: str, lr: float, epochs: int
) -> None:
    found = recipe("slidr-linear-probe").resolved(method=method, labels="100%", on="nuscenes")
    assert (found["optimiser"]["lr"], found["length"]["epochs"]) == (lr, epochs)
    assert found["head_lr"] is None and found["lp_bn"] == "eval"


def test_pretraining_of_the_superflow_family(recipe: Callable[[str], Recipe]) -> None:
    lima, superflow = (recipe("paper-pretrain").resolved(method=m) for m in ("lima", "superflow"))
    assert lima["images"] is None
    assert superflow["images"]["crop_area"] is None
    assert superflow["images"]["flip_probability"] == 0.5
    assert superflow | {"images": None} == lima
    optimiser, schedule = lima["optimiser"], lima["schedule"]
    assert (optimiser["lr"], optimiser["weight_decay"], optimiser["eps"]) == (0.01, 0.01, 1e-6)
    assert (schedule["warmup"], schedule["div"], schedule["final_div"]) == (0.2, 25.0, 100.0)
    assert (lima["batch_size"], lima["length"]["epochs"]) == (4, 50)
    assert lima["augmentation"]["scale"] == [0.95, 1.05] and lima["image_size"] == [224, 448]


def test_recipes_of_scalr(recipe: Callable[[str], Recipe]) -> None:
    own, plus = (recipe(f"scalr-{name}").resolved() for name in ("pretrain", "plus-pretrain"))
    assert (own["optimiser"]["lr"], own["optimiser"]["weight_decay"]) == (2e-3, 0.03)
    steps = own["length"]["epochs"] * 28_130 / 8
    assert own["schedule"]["warmup"] * steps == pytest.approx(3500, rel=0.01)
    assert steps == pytest.approx(25 * 55_100 / 8, rel=0.01)
    assert own["schedule"]["final_lr"] == 1e-5 and own["pair_rounding"] == "floor"
    assert own["augmentation"]["flips"] == plus["augmentation"]["flips"] == "one_of"
    schedule = plus["schedule"]
    shares = (schedule["warmup"], schedule["decay"], schedule["cooldown"])
    assert [65 * share for share in shares] == pytest.approx([1.0, 0.45, 2.0], rel=1e-4)
    assert (plus["image_size"], plus["precision"]) == ([448, 896], "bf16-mixed")
    assert recipe("scalr-finetune").resolved(labels="100%")["length"]["epochs"] == 25
    assert recipe("scalr-finetune").resolved(labels="1%")["length"]["epochs"] == 45
    probe = recipe("scalr-linear-probe").resolved()
    assert (probe["optimiser"]["lr"], probe["optimiser"]["weight_decay"]) == (1e-3, 3e-3)


def test_a_teacher_in_the_step_needs_no_cache(
    expanded: Callable[..., Expansion], known_with: Callable[..., Known]
) -> None:
    known = known_with(methods=("slidr",), teachers=("resnet50",), datasets=("nuscenes",))

    def stages(*sets: str) -> dict[str, Any]:
        table = expanded(
            "table1", "paper", known, sets, only="slidr-r50", columns="nus-lp", identity=FILES
        )
        return {job.stage: job for job in table.jobs.values()}

    live = stages()
    assert set(live) == {"superpixels", "pretrain", "linear_probe"}
    assert live["superpixels"].config["image_size"] == [448, 832]
    assert set(live["pretrain"].inputs) == {"superpixels"}
    assert live["pretrain"].config["teacher"] == {
        "name": "resnet50",
        "weights": "digest of resnet50",
    }
    cached = stages("defaults.recipes=slidr_cached", "rows.slidr-r50.recipes=slidr_cached")
    assert set(cached) == {"features", "superpixels", "pretrain", "linear_probe"}
    assert cached["superpixels"].config["image_size"] == [224, 416]
    standardised = stages("pretrain.teacher_features=standardised")
    assert set(standardised["pretrain"].inputs) == {"features", "superpixels"}

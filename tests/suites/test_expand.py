"""Cells and jobs: how many there are, what shares a job, what changes a key."""

from __future__ import annotations

from collections import Counter

import pytest

from lima_bench.common.errors import UserError
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.suites.chain import Identity
from lima_bench.suites.expand import Expansion
from lima_bench.suites.known import Known

BUILT = ("random", "slidr", "scalr", "lima")
TEACHERS = ("resnet50", "vit_s", "vit_b", "vit_l", "tiny", "random_tiny")
DATASETS = ("nuscenes", "semantickitti", "waymo")
MASKS = (
    "openseed_inst17",
    "superpixels/nuscenes/superpixels_dinov2_ade20k",
    "superpixels/nuscenes/superpixels_seem",
)
FILES = Identity(
    manifests={name: f"files of {name}" for name in DATASETS},
    masks={name: f"files of {name}" for name in MASKS},
)


def stages(expansion: Expansion) -> dict[str, int]:
    return dict(Counter(job.stage for job in expansion.jobs.values()))


def test_the_paper_table_when_everything_is_built(expanded, known_with) -> None:
    known = known_with(METHODS.names(), TEACHERS, DATASETS)
    table = expanded("table1", "paper", known, identity=FILES)
    assert (len(table.rows), len(table.columns), len(table.cells)) == (22, 8, 176)
    assert not any(cell.missing for cell in table.cells)
    assert sum(len(cell.jobs) for cell in table.cells) == 176 * 3
    # 21 taught rows share one pretraining over seeds; first weights differ by seed. Of resnet50 no
    # features are kept: images are cropped at random where it teaches.
    cut = {job.config["segmenter"] for job in table.jobs.values() if job.stage == "superpixels"}
    assert cut == {"slic", "folder"}
    assert stages(table) == {
        "features": 3,
        "superpixels": stages(table)["superpixels"],
        "clusters": 1,
        "pretrain": 21 + 3,
        "linear_probe": 22 * 3,
        "finetune": 22 * 7 * 3,
    }


def test_what_is_not_built_is_missing_with_its_reason(known: Known, expanded) -> None:
    table = expanded("table1", "embedded", known)
    assert (len(table.rows), len(table.columns)) == (14, 8)
    reasons = {(cell.row, cell.column): cell.missing for cell in table.cells}
    for row in table.rows:
        name = row.row.id
        built = name in BUILT
        expected = "" if built else f"not built yet: method {name}"
        assert reasons[name, "nus-lp"] == expected
        assert reasons[name, "waymo-1%"] == (expected or "not built yet: data set waymo")
    assert stages(table) == {
        "world": 2,
        "features": 1,
        "superpixels": 1,
        "pretrain": 4,
        "linear_probe": 4,
        "finetune": 24,
    }
    paper = expanded("table1", "paper", known, identity=FILES)
    missing = {cell.row: cell.missing for cell in paper.cells if cell.column == "nus-lp"}
    assert missing["slidr-r50"] == "not built yet: teacher resnet50"
    assert missing["seal-vit_b"] == "not built yet: method seal"
    assert missing["lima-vit_b"] == ""


def test_frames_and_teachers_of_rows(known: Known, expanded) -> None:
    rows = {r.row.id: r for r in expanded("table1", "embedded", known).rows}
    frames = {name: row.frames for name, row in rows.items()}
    assert frames == {
        "random": None,
        "pointcontrast": 2,
        "gcc3d": 1,
        "ppkt": 1,
        "slidr": 1,
        "st_slidr": 1,
        "tricc": 2,
        "seal": 2,
        "csc": 1,
        "hvdistill": 1,
        "superflow": 3,
        "scalr": 1,
        "cleverdistiller": 1,
        "lima": 6,
    }
    untaught = {"random", "pointcontrast", "gcc3d"}
    assert {name for name, row in rows.items() if row.teacher == "tiny"} == set(rows) - untaught


def test_controls_share_jobs_with_table1(known: Known, expanded) -> None:
    table = expanded("table1", "embedded", known)
    controls = expanded("controls", "embedded", known)
    cells = {(cell.row, cell.column): cell.jobs for cell in table.cells}
    shared = [cell for cell in controls.cells if cell.row in ("random", "scalr")]
    assert len(shared) == 4
    assert all(cell.jobs == cells[cell.row, cell.column] for cell in shared)
    new = {job.stage for key, job in controls.jobs.items() if key not in table.jobs}
    assert new == {"features", "pretrain", "linear_probe", "finetune"}
    assert len(controls.jobs.keys() - table.jobs.keys()) == 4


def test_order_and_spelling_never_change_a_key(known: Known, write_suite, expanded) -> None:
    one = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        "rows:\n  - {id: a, method: lima, frames: 4}\n  - {id: b, method: slidr}\n"
        "columns:\n  - {id: c, task: finetune, on: nuscenes, labels: 1%}\n"
        "  - {id: d, task: linear_probe, on: semantickitti}\n"
    )
    other = (
        "columns:\n  - {on: semantickitti, labels: 100%, task: linear_probe, id: other}\n"
        "  - {labels: 1%@first, on: nuscenes, task: finetune, id: another, title: T}\n"
        'rows:\n  - matrix: {method: [slidr, lima]}\n    id: "new-{method}"\n'
        "    teacher: tiny\n    pretrain_on: nuscenes\n"
        "    by_method: {settings: {lima: {radius_m: 5e-1, frames: 4}}}\n"
        "title: y\nname: renamed\nschema: 1\n"
    )
    keys = [
        set(expanded(write_suite(text, f"{number}.yaml"), "embedded", known).jobs)
        for number, text in enumerate((one, other))
    ]
    assert keys[0] == keys[1] and len(keys[0]) == 10


def test_every_input_is_a_job_and_stands_before_its_reader(known: Known, expanded) -> None:
    table = expanded("table1", "embedded", known, seeds=(0, 1, 2))
    seen: set[str] = set()
    for key, job in table.jobs.items():
        assert key == job.key
        assert set(job.inputs.values()) <= seen
        seen.add(key)
    score = next(cell.jobs[1] for cell in table.cells if cell.row == "slidr" and cell.jobs)
    found = [job.stage for job in table.upstream([score]).values()]
    assert found == ["world", "features", "superpixels", "pretrain", "linear_probe"]


def test_clusters_are_shared_by_what_needs_the_same(known_with, write_suite, expanded) -> None:
    """Their key holds kind, settings of that kind, and data: no teacher, no image, no seed."""
    text = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\nrows:\n"
        "  - matrix: {teacher: [tiny, random_tiny], method: [seal]}\n    id: '{method}-{teacher}'\n"
        "  - {id: gcc3d, method: gcc3d}\n  - {id: slidr, method: slidr}\n"
        "columns:\n  - {id: c, task: linear_probe, on: nuscenes}\n"
    )
    suite = write_suite(text)
    known = known_with(("seal", "gcc3d", "slidr"))

    def found(*sets: str) -> dict[str, set[str]]:
        jobs = expanded(suite, "embedded", known, sets, seeds=(0, 1)).jobs.values()
        return {
            name: {job.key for job in jobs if job.config.get(field) == name}
            for field, name in (
                ("kind", "segments"),
                ("kind", "pseudo_instances"),
                ("method", "seal"),
                ("method", "gcc3d"),
                ("method", "slidr"),
            )
        }

    plain = found()
    assert {name: len(keys) for name, keys in plain.items()} == {
        "segments": 1,
        "pseudo_instances": 1,
        "seal": 4,
        "gcc3d": 2,
        "slidr": 2,
    }
    for change, names in (
        ("segments.min_samples=4", {"segments", "seal"}),
        ("pseudo_instances.most=9", {"pseudo_instances", "gcc3d"}),
        ("ground.tries=9", {"segments", "pseudo_instances", "seal", "gcc3d"}),
    ):
        changed = found(f"pretrain.clusters.{change}")
        assert {name for name in plain if not plain[name] & changed[name]} == names
        assert all(plain[name] == changed[name] for name in set(plain) - names)


def test_methods_without_a_teacher_need_no_images(known_with, write_suite, expanded) -> None:
    text = (
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: semantickitti}\n"
        "rows:\n  - {id: a, method: pointcontrast}\n"
        "columns:\n  - {id: c, task: linear_probe, on: nuscenes}\n"
    )
    table = expanded(write_suite(text), "embedded", known_with(("pointcontrast",)))
    assert stages(table) == {"world": 2, "pretrain": 1, "linear_probe": 1}
    assert [row.teacher for row in table.rows] == [""]
    (job,) = (job for job in table.jobs.values() if job.stage == "pretrain")
    assert "teacher" not in job.config and set(job.inputs) == {"world semantickitti"}


def test_seeds_are_chosen_by_command_line_then_suite_then_profile(known: Known, expanded) -> None:
    assert expanded("table1", "embedded", known, seeds=(5,)).seeds == (5,)
    assert expanded("table1", "embedded", known, ("defaults.seeds=[7]",)).seeds == (7,)
    assert expanded("table1", "paper", known, identity=FILES).seeds == (0, 1, 2)


def test_globs_choose_rows_and_columns(known: Known, expanded) -> None:
    table = expanded("table1", "embedded", known, only="lima, s*r", columns="nus-1%,kitti-*")
    assert [row.row.id for row in table.rows] == ["slidr", "st_slidr", "scalr", "lima"]
    assert [column.id for column in table.columns] == ["nus-1%", "kitti-1%"]
    with pytest.raises(UserError, match=r'--only limma\n.*no row "limma". Did you mean "lima"'):
        expanded("table1", "embedded", known, only="limma")
    with pytest.raises(UserError, match=r'no column "nus-lq". Did you mean "nus-lp"'):
        expanded("table1", "embedded", known, columns="nus-lq")


@pytest.fixture
def score_key(expanded):
    """The key of one cell's job."""

    def find(known: Known, *sets: str, row: str = "scalr", **options) -> str:
        table = expanded("table1", "embedded", known, sets, **options)
        cells = {(cell.row, cell.column): cell for cell in table.cells}
        return cells[row, "nus-1%"].jobs[0]

    return find


@pytest.mark.parametrize(
    ("changed", "sets"),
    [
        (True, ("pretrain.length.steps=901",)),
        (True, ("finetune.optimiser.lr=0.001",)),
        (True, ("student.backbone=minkunet34",)),
        (True, ("rows.scalr.settings.cameras=one",)),
        (True, ("rows.scalr.teacher=random_tiny",)),
        (True, ("columns.nus-1%.labels=1%@other",)),
        (True, ("profile.splits={nuscenes: {val: test}}",)),
        (False, ("columns.nus-1%.labels=1%@first",)),
        (False, ("pretrain.checkpoint_steps=7",)),
        (False, ("finetune.precision=bf16-mixed",)),
        (False, ("pretrain.superpixels=99",)),  # scalr looks at none
        (False, ("linear_probe.length.steps=7",)),
        (False, ("finetune.length.steps=120",)),  # what it is already
        (False, ("profile.title=another", "title=third", "rows.scalr.title=fourth")),
        (False, ("rows.lima.settings.radius_m=1",)),
    ],
)
def test_what_enters_a_key(changed: bool, sets: tuple[str, ...], known: Known, score_key) -> None:
    assert (score_key(known, *sets) != score_key(known)) == changed


def test_versions_weights_and_data_enter_a_key(known: Known, world: Identity, score_key) -> None:
    plain = score_key(known)
    methods = dict(known.methods)
    methods["scalr"] = methods["scalr"].model_copy(update={"version": methods["scalr"].version + 1})
    raised = Known(methods, known.teachers, known.datasets, known.weights)
    retrained = Known(known.methods, known.teachers, known.datasets, {"tiny": "other"})
    larger = Identity(
        world={name: {"seed": 0, name: {"scenes": 4}} for name in DATASETS}, world_version=1
    )
    newer = Identity(world=world.world, world_version=2)
    keys = [
        plain,
        score_key(raised),
        score_key(retrained),
        *(score_key(known, identity=i) for i in (larger, newer, FILES)),
    ]
    assert len(set(keys)) == len(keys)
    assert score_key(raised, row="lima") == score_key(known, row="lima")

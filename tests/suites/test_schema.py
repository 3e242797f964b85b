"""Suite files: what they may say, and how a fault in one is reported."""

from __future__ import annotations

import pytest

from lima_bench.common.errors import UserError
from lima_bench.suites.known import Known
from lima_bench.suites.load import builtin, load
from lima_bench.suites.yaml_lines import parse_document, parse_value

HEAD = """\
schema: 1
name: mine
title: Mine
defaults: {pretrain_on: nuscenes}
"""
ROWS = "rows:\n  - {id: random, method: random}\n"
COLUMNS = "columns:\n  - {id: lp, task: linear_probe, on: nuscenes}\n"


def complaint(suite: str, known: Known, *sets: str, profile: str = "embedded") -> str:
    with pytest.raises(UserError) as caught:
        load(suite, profile, known, sets)
    return str(caught.value)


@pytest.mark.parametrize("profile", ["smoke", "embedded", "paper"])
@pytest.mark.parametrize("suite", sorted(builtin("suite")))
def test_shipped_suites_hold_in_every_profile(suite: str, profile: str, known: Known) -> None:
    assert load(suite, profile, known).suite.name == suite


def test_an_error_points_at_one_entry_of_a_matrix(known: Known, write_suite) -> None:
    rows = (
        "rows:\n"
        "  - {id: random, method: random}\n"
        "  - matrix: {teacher: [tiny, vit_s], method: [slidr, scalr, superflw]}\n"
        '    id: "{method}-{teacher}"\n'
    )
    path = write_suite(HEAD + rows + COLUMNS)
    assert complaint(path, known) == (
        f'{path}:7:61  rows[1].method[2] = "superflw"\n'
        '  There is no method "superflw". Did you mean "superflow"?\n'
        f"  Known: {', '.join(known.names('method'))}   (lima-bench list methods)"
    )


def test_several_faults_are_reported_in_one_pass(known: Known, write_suite) -> None:
    text = (
        HEAD
        + "rows:\n"
        + "  - {id: a, methd: random}\n"
        + "  - {id: b, method: lima, settings: {radius: 1}}\n"
        + "  - {id: b, method: scalr, teacher: tinny, frames: 0}\n"
        + "columns:\n"
        + "  - {id: lp, task: linear_prob, on: nuscene, labels: 0.01}\n"
        + "  - {id: cost, measure: pretrain.wall_hours, task: finetune, on: waymo}\n"
        + "tabel: {}\n"
    )
    message = complaint(write_suite(text), known)
    for line in (
        ':6:5  rows[0]\n  The key "method" is missing.',
        ':6:13  rows[0].methd\n  There is no key "methd" here. Did you mean "method"?',
        ':7:38  rows[1].settings.radius\n  There is no key "radius" here. Did you mean "radius_m"?',
        ':8:10  rows[2].id = "b"\n  Two rows are called "b".',
        ':8:37  rows[2].teacher = "tinny"\n  There is no teacher "tinny". Did you mean "tiny"?',
        ":8:52  rows[2].frames = 0\n  Input should be greater than or equal to 1.",
        ':10:20  columns[0].task = "linear_prob"\n',
        ':10:37  columns[0].on = "nuscene"\n',
        ":10:54  columns[0].labels = 0.01\n",
        ":11:5  columns[1]\n  A column asks for a task or for a measure, not for both.",
        ':12:1  tabel\n  There is no key "tabel" here. Did you mean "table"?',
    ):
        assert line in message, message
    lines = [line for line in message.splitlines() if "mine.yaml:" in line]
    numbers = [int(line.split("mine.yaml:")[1].split(":")[0]) for line in lines]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [1\n", "mine.yaml:2:1\n  This is no YAML"),
        ("a: 1\na: 2\n", 'mine.yaml:2:1\n  The key "a" stands twice.'),
        ("a: &x [1]\nb: *x\n", "mine.yaml:2:4\n  Aliases (*name) are not allowed"),
        ("- 1\n", "mine.yaml:1:1\n  The file must be a mapping"),
        ("a: !!python/object/apply:os.getcwd []\n", 'There is no key "a" here'),
    ],
)
def test_what_is_no_suite_at_all(text: str, expected: str, known: Known, write_suite) -> None:
    assert expected in complaint(write_suite(text), known)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("matrix: {method: scalr}\n    id: a", "rows[0].method\n  A list of values is needed"),
        ("matrix: {method: []}\n    id: a", "rows[0].method\n  A list of values is needed"),
        ('matrix: {method: [lima]}\n    id: "{metod}"', 'There is no field "metod"'),
        ('matrix: {method: [lima]}\n    id: "{method"', 'A "{" is not closed.'),
        (
            "matrix: {method: [lima]}\n    method: lima\n    id: a",
            "stands in the matrix and beside",
        ),
        ("id: a\n    method: lima\n    by_method: {frames: {lma: 3}}", 'Did you mean "lima"?'),
        ("id: a\n    method: scalr\n    frames: 3", "The number of frames of ScaLR is fixed: 1."),
        ("id: a*\n    method: scalr", "String should match pattern"),
        ("id: a\n    method: lima\n    recipes: slidr", 'There is no recipe set "slidr".'),
    ],
)
def test_faults_of_a_row(entry: str, expected: str, known: Known, write_suite) -> None:
    assert expected in complaint(write_suite(f"{HEAD}rows:\n  - {entry}\n{COLUMNS}"), known)


def test_a_row_may_ask_for_more_frames_than_its_method_takes(known_with, write_suite) -> None:
    """The row's own number is held to the method's settings, like one among them."""
    known = known_with(("superflow",))
    for entry, place in (("frames: 4", "frames"), ("settings: {frames: 4}", "settings.frames")):
        path = write_suite(f"{HEAD}rows:\n  - id: a\n    method: superflow\n    {entry}\n{COLUMNS}")
        expected = f"rows[0].{place} = 4\n  Input should be less than or equal to 3."
        assert expected in complaint(path, known)


def test_unknown_suites_and_profiles_have_a_nearest_name(known: Known) -> None:
    assert 'There is no suite "tabel1". Did you mean "table1"?' in complaint("tabel1", known)
    wrong = complaint("table1", known, profile="embeded")
    assert 'There is no profile "embeded". Did you mean "embedded"?' in wrong
    assert "There is no file nowhere/x.yaml." in complaint("nowhere/x.yaml", known)


def test_set_changes_suite_profile_and_recipes(known: Known) -> None:
    sets = (
        "rows.l*.settings.radius_m=0.3",
        "columns.nus-*.labels=1%",
        "profile.seeds=[3, 4]",
        "defaults.seeds=[5]",
        "pretrain.length.epochs=2",
        "finetune.optimiser.lr=1e-4",
        "finetune.optimiser.lr=1e-5",
    )
    loaded = load("table1", "embedded", known, sets)
    rows = {row.id: row for row in loaded.suite.rows}
    assert rows["lima"].settings == {"radius_m": 0.3}
    assert rows["lima-vit_s"].settings == {"radius_m": 0.3}
    assert rows["scalr"].settings == {}
    assert {c.labels for c in loaded.suite.columns if c.id.startswith("nus-")} == {"1%"}
    assert (loaded.profile.seeds, loaded.suite.defaults.seeds) == ((3, 4), (5,))
    pretrain = loaded.recipes["embedded-pretrain"].resolved()
    assert pretrain["length"] == {"epochs": 2, "steps": None}
    finetune = loaded.recipes["embedded-finetune"].resolved(labels="100%")
    assert finetune["optimiser"]["lr"] == 1e-5
    assert finetune["length"]["steps"] == 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pretrain.length.steps", "not of the form key=value"),
        ("pretrain=3", "The key ends too early."),
        ("rows.lima=3", "The key ends too early."),
        ("pretran.length.steps=3", 'Did you mean "pretrain"?'),
        ("rows.lina.frames=3", 'There is no row "lina". Did you mean "lima"?'),
        ("rows.lima.frames.x=3", "Input should be a valid integer"),
        ("rows.lima.method.x=3", "has no entries of its own"),
        ("rows.lima.frames=many", "Input should be a valid integer"),
        ("pretrain.length.steps=[1", "--set pretrain.length.steps=[1\n  The value is no YAML"),
        ("pretrain.image_size=[112]", "Value 2 of this list is missing."),
        ("pretrain.optimiser.lrr=3", 'no key "lrr" here. Did you mean "lr"?'),
        ("finetune.report=best_of", "Input should be 'last' or 'best'"),
        ("columns.nus-1%.labels=1%@frst", 'no label-share convention "frst". Did you mean "first"'),
        ("columns.nus-1%.labels=half", "String should match pattern"),
        ("profile.data.world=smok", 'There is no world "smok". Did you mean "smoke"?'),
        ("profile.data.settings={nuscenes: {azimuth: 3}}", 'Did you mean "azimuths"?'),
        ("profile.data.settings.nuscenes.azimuths=0", "greater than or equal to 1"),
        ("profile.variant=all", "Input should be 'one_teacher' or 'published'"),
    ],
)
def test_faults_of_set(text: str, expected: str, known: Known) -> None:
    message = complaint("table1", known, text)
    assert message.startswith(f"--set {text}") and expected in message, message


def test_profiles_are_checked_too(known: Known, write_suite) -> None:
    text = (
        builtin("profile")["smoke"]
        .read_text()
        .replace("finetune: smoke-finetune", "finetune: smoke-pretrain")
        .replace("teacher: tiny", "teacher: tinny")
        .replace("student: smoke-student", "student: smok-student")
    )
    path = write_suite(text, "p.yaml")
    message = complaint("table1", known, profile=path)
    assert 'teacher = "tinny"\n  There is no teacher "tinny". Did you mean "tiny"?' in message
    assert 'recipes.standard.finetune = "smoke-pretrain"' in message
    assert "This recipe is for pretrain, not for finetune." in message
    assert 'There is no recipe "smok-student". Did you mean "smoke-student"?' in message


def test_recipes_report_rules_and_assumptions_by_place(known: Known, write_suite) -> None:
    recipe = (
        "schema: 1\nname: r\ntitle: t\nkind: finetune\n"
        "settings: {length: {steps: 3}}\n"
        "when:\n  - labels: 1%\n    settings: {optimiser: {lrr: 1}}\n"
        "assumed: {optimizer.lr: why}\n"
    )
    place = write_suite(recipe, "r.yaml")
    text = builtin("profile")["smoke"].read_text().replace("smoke-finetune", "r.yaml")
    message = complaint("table1", known, profile=write_suite(text, "p.yaml"))
    assert f"{place}:8:28  when[0].settings.optimiser.lrr" in message
    broken = recipe.replace("lrr", "lr")
    write_suite(broken, "r.yaml")
    message = complaint("table1", known, profile=write_suite(text, "p.yaml"))
    assert 'A recipe of kind finetune has no setting "optimizer.lr".' in message


@pytest.mark.parametrize(
    ("text", "value"),
    [("on", "on"), ("off", "off"), ("1e-3", 0.001), ("-2.5", -2.5), ("true", True), ("1%", "1%")],
)
def test_words_and_numbers_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert parse_document(f"a: {text}", name="x").data == {"a": value}


@pytest.mark.parametrize("kind", ["profile", "recipe", "suite"])
def test_shipped_files_are_called_what_they_say(kind: str) -> None:
    for name, path in builtin(kind).items():
        assert parse_document(path.read_text(), name="x").lookup(("name",)) == name


def test_paper_recipes_end_where_the_published_ones_end(known: Known) -> None:
    """Initial rate = peak / 25, last = initial / 100 (SuperFlow's schedules)."""
    recipes = load("table1", "paper", known).recipes
    for name in ("paper-pretrain", "paper-linear-probe", "paper-finetune"):
        schedule = recipes[name].resolved()["schedule"]
        assert schedule["div"] * schedule["final_div"] == 2500


def test_slidr_recipe_depends_on_data_and_method(known: Known) -> None:
    recipe = load("table1", "paper", known).recipes["slidr-finetune"]
    nuscenes = recipe.resolved(labels="1%", on="nuscenes", method="slidr")
    kitti = recipe.resolved(labels="1%", on="semantickitti", method="slidr")
    first = recipe.resolved(labels="100%", on="nuscenes", method="random")

    def facts(settings):
        lengths = settings["length"]["epochs"]
        return settings["batch_size"], settings["optimiser"]["lr"], settings["head_lr"], lengths

    assert facts(nuscenes) == (16, 0.02, 2.0, 100)
    assert facts(kitti) == (10, 0.05, 2.0, 100)
    assert facts(first) == (16, 0.05, None, 50)

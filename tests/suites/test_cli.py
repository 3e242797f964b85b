"""The command line: exit codes, messages, files; with stage functions that train nothing."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lima_bench.datasets.api import DATASETS
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.suites.verbs import run as run_verb

Call = Callable[..., tuple[int, str, str]]
SMALL = ("--only", "random,scalr,lima,seal", "--columns", "nus-lp,nus-1%,waymo-1%")


@pytest.fixture
def call(command_line: Call, monkeypatch: pytest.MonkeyPatch, fake_stages: dict[str, str]) -> Call:
    """`command_line`, where nothing is trained and some things are not built."""
    monkeypatch.setattr(run_verb, "STAGE_FUNCTIONS", fake_stages)
    # As if a data set and a method of the table were not built yet: what that prints is tested.
    monkeypatch.delitem(DATASETS._entries, "waymo")
    planned = METHODS.get("seal").model_copy(update={"implementation": ""})
    monkeypatch.setitem(METHODS._entries, "seal", planned)
    return command_line


@pytest.fixture
def done(call: Call) -> Call:
    """`call`, after a run of the small table."""
    code, _, err = call("run", "table1", *SMALL, "--executor", "inline", "--quiet")
    assert (code, err) == (0, "")
    return call


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "tabel1"), 'There is no suite "tabel1". Did you mean "table1"?'),
        (("run", "table1", "--profile", "papr"), 'no profile "papr". Did you mean "paper"?'),
        (("run", "table1", "--only", "limma"), 'There is no row "limma". Did you mean "lima"?'),
        (("plan", "table1", "--columns", "nus-l"), 'Did you mean "nus-lp"?'),
        (("run", "table1", "--seeds", "0,a"), "Seeds are whole numbers"),
        (("run", "table1", "--jobs", "0"), "At least one job must run."),
        (("run", "table1", "--executor", "slurm"), "The executor slurm is not built yet."),
        (("run", "table1", "--device", "tpu"), 'There is no device "tpu".'),
        (("run", "table1", "--set", "pretrain.lr=1"), 'There is no key "lr" here.'),
        (("run", "table1", "--profile", "paper"), "no data root is given"),
        (("run", "table1", "--profile", "paper", "--data", "no"), "There is no such folder."),
        (("run", "table1", "--profile", "paper", "--data", "."), "No data set of the suite lies"),
        (("run", "table1", "--plug", "no.py"), "There is no Python file here."),
        (("plan", "table1", "--budget", "soon"), "This is no length of time."),
        (("show", "table1", "--against", "gold"), "--against paper or --against golden"),
        (("check", "table1", "--against", "paper"), "this profile renders its own"),
        (("export", "table1"), "Nothing says where to write."),
        (("export", "table1", "--figures", "f"), "has nothing to draw yet"),
        (("list", "method"), 'Did you mean "methods"?'),
        (("why", "table1", "lma", "nus-lp"), 'Did you mean "lima"?'),
        (("why", "table1", "seal", "nus-lp"), "It cannot be run: not built yet: method seal."),
        (("doctor", "datta"), 'Did you mean "data"?'),
        (("doctor", "data", "nuscene"), 'Did you mean "nuscenes"?'),
        (("adopt", "w.pth", "--as", "mine"), "There is no such file."),
        (("new", "method", "mine"), "This is not built yet."),
    ],
)
def test_what_the_user_can_mend(words: tuple[str, ...], expected: str, call: Call) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err


def test_an_unknown_option_is_told_too(call: Call) -> None:
    code, _, err = call("run", "table1", "--profil", "smoke")
    assert code == 2
    assert "--profil" in err


def test_a_run_writes_and_prints_the_table(call: Call, tmp_path: Path) -> None:
    code, out, err = call("run", "table1", *SMALL, "--executor", "inline")
    assert code == 0
    assert "11 jobs to do" in err and "[11/11] done" in err
    assert "LiMA" in out and "not built yet: method seal" in out
    assert "not built yet: data set waymo" in out
    folder = tmp_path / "runs" / "tables"
    written = {path.name for path in folder.iterdir()}
    assert {f"table1.embedded.{ending}" for ending in ("csv", "tex", "md", "html")} <= written
    with (folder / "table1.embedded.csv").open() as file:
        lines = {(line["row"], line["column"]): line for line in csv.DictReader(file)}
    assert len(lines) == 14 * 8  # what --only leaves out is in the file all the same
    assert lines["lima", "nus-5%"]["verdict"] == "missing"
    assert lines["lima", "nus-lp"]["frames"] == "6"
    assert float(lines["scalr", "nus-1%"]["value"]) >= 0
    assert (lines["seal", "nus-lp"]["value"], lines["seal", "nus-lp"]["verdict"]) == ("", "missing")


def test_a_second_run_only_prints(done: Call, tmp_path: Path) -> None:
    before = (tmp_path / "calls.txt").read_text()
    code, out, err = done("run", "table1", *SMALL)
    assert (code, err) == (0, "")
    assert "LiMA" in out
    assert (tmp_path / "calls.txt").read_text() == before


def test_quiet_and_json(done: Call) -> None:
    assert done("run", "table1", *SMALL, "--quiet") == (0, "", "")
    code, out, err = done("run", "table1", *SMALL, "--json")
    cells = json.loads(out)["cells"]
    assert (code, err, len(cells)) == (0, "", 12)
    assert json.loads(done("show", "table1", *SMALL, "--json")[1])["cells"] == cells


def test_plan_before_and_after(call: Call) -> None:
    _, out, _ = call("plan", "table1", *SMALL)
    assert out.splitlines()[0] == "table1, embedded   12 cells   6 missing   6 unavailable"
    assert "11 jobs" in out and "(11 of unknown cost: no record yet)" in out
    assert "  3 cells   not built yet: data set waymo" in out
    call("run", "table1", *SMALL, "--executor", "inline", "--quiet")
    _, out, _ = call("plan", "table1", *SMALL)
    assert out.splitlines()[0] == "table1, embedded   12 cells   6 done   6 unavailable"
    assert "to run" not in out
    _, out, _ = call("plan", "table1", *SMALL, "--seeds", "0,1", "--budget", "1h", "--json")
    plan = json.loads(out)
    assert {job["basis"] for job in plan["jobs"]} == {"same settings"}
    assert len(plan["budget"]["cells"]) == 6
    assert sum(job["runs"] for job in plan["jobs"]) == 3 + 6


def test_show_export_and_check(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lima_bench.results import golden_files as golden

    # The numbers of these pretended stages have no reference to be held against.
    monkeypatch.setattr(golden, "golden_path", lambda *_: tmp_path / "none.csv")
    assert call("show", "table1", *SMALL)[0] == 0
    assert not (tmp_path / "runs").exists()
    assert call("check", "table1", *SMALL)[0] == 4
    call("run", "table1", *SMALL, "--executor", "inline", "--quiet")
    code, out, _ = call("check", "table1", *SMALL, "--junit", "junit.xml")
    assert code == 0
    assert "no-reference" in out and "(not built yet: method seal)" in out
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert suite.get("tests") == "12"
    words = [word for f in ("csv", "latex", "markdown", "html") for word in (f"--{f}", f"t.{f}")]
    code, out, _ = call("export", "table1", *SMALL, *words)
    assert code == 0 and out.count("Written") == 4
    assert "\\toprule" in (tmp_path / "t.latex").read_text()
    assert (tmp_path / "t.csv").read_text().startswith("row,method,teacher")


def test_check_compares_with_golden_numbers(
    done: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lima_bench.results import golden_files as golden

    _, out, _ = done("show", "table1", *SMALL, "--json")
    cells = {(c["row"], c["column"]): c["value"] for c in json.loads(out)["cells"] if c["value"]}
    path = tmp_path / "table1.embedded.csv"
    lines = [",".join(golden.COLUMNS)]
    lines += [f"{row},{column},{value},,1,0.5" for (row, column), value in cells.items()]
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(golden, "golden_path", lambda *_: path)
    code, out, _ = done("check", "table1", *SMALL, "--against", "golden")
    assert (code, out.count("reproduced")) == (0, len(cells))
    path.write_text(path.read_text().replace("lima,nus-lp,", "lima,nus-lp,9"))
    code, out, _ = done("check", "table1", *SMALL, "--against", "golden")
    assert (code, out.count("reproduced")) == (1, len(cells) - 1)


def test_prepare_stops_before_pretraining(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("prepare", "table1", "--executor", "inline")
    assert code == 0
    assert set(out.splitlines()) >= {
        "done    clusters pseudo_instances nuscenes",
        "done    features tiny nuscenes",
        "done    superpixels slic nuscenes",
        "done    superpixels semantic kmeans nuscenes",
        "done    world nuscenes",
        "done    world semantickitti",
    }
    assert {line.split()[0] for line in out.splitlines()} == {"done"}
    called = [line.split()[1] for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert set(called) == {"world", "features", "superpixels", "clusters"}


def test_why_shows_the_chain_and_the_differences(done: Call) -> None:
    _, out, _ = done("why", "table1", "lima", "nus-lp")
    stages = [line.split()[1] for line in out.splitlines() if line.startswith("  done")]
    assert stages == ["world", "features", "pretrain", "linear_probe"]
    assert "settings.radius_m = 0.5" in out and "miou = " in out
    _, out, _ = done("why", "table1", "lima", "nus-lp", "scalr")
    assert out.splitlines()[0] == "pretrain.method: lima  against  scalr"
    assert "pretrain.recipe" not in out


def test_a_failed_job_gives_3_or_2(call: Call, tmp_path: Path) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({"features": "fail"}))
    code, out, err = call("run", "table1", *SMALL, "--executor", "inline")
    assert code == 3
    assert "features tiny nuscenes failed:\n  ValueError: a defect (traceback: " in err
    assert "6 jobs were skipped because of this" in err
    assert "failed: ValueError: a defect" in out
    (tmp_path / "behave.json").write_text(json.dumps({"features": "user"}))
    code, _, err = call("run", "table1", *SMALL, "--executor", "inline", "--quiet")
    assert code == 2
    assert "scan.bin\n  It is truncated.\n  Copy it again." in err
    assert call("check", "table1", *SMALL)[0] == 1


def test_other_code_makes_records_stale(done: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from lima_bench.suites import session

    code = {**session.read_code(), "linear_probe": "other"}
    monkeypatch.setattr(session, "read_code", lambda: code)
    _, out, _ = done("plan", "table1", *SMALL)
    assert out.splitlines()[0].endswith("3 done   3 stale   6 unavailable")
    assert done("run", "table1", *SMALL, "--accept-stale", "--quiet")[0] == 0
    assert done("plan", "table1", *SMALL)[1] == out
    assert "stale" in done("check", "table1", *SMALL)[1]
    assert done("run", "table1", *SMALL, "--executor", "inline", "--quiet")[0] == 0
    assert "stale" not in done("plan", "table1", *SMALL)[1]


def test_stores_that_cannot_be_used(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "This is a file; a store is a folder." in call("run", "table1", "--store", "file")[2]
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store.json").write_text('{"format": 99}')
    code, _, err = call("run", "table1", "--store", "newer")
    assert code == 2 and "written by a newer lima-bench" in err

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    code, _, err = call("run", "table1", "--store", "fresh")
    assert code == 2 and "This place is read-only." in err and "--store DIR" in err


def test_the_store_may_come_from_the_environment(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIMA_BENCH_STORE", str(tmp_path / "elsewhere"))
    call("run", "table1", "--only", "random", "--executor", "inline", "--quiet")
    assert (tmp_path / "elsewhere" / "store.json").is_file()


def test_missing_weights_are_told_before_anything_runs(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        "rows:\n  - {id: a, method: scalr, teacher: vit_s}\n"
        "columns:\n  - {id: lp, task: linear_probe, on: nuscenes}\n"
    )
    code, _, err = call("run", "mine.yaml", "--executor", "inline")
    assert code == 2
    assert "dinov2_vits14_pretrain.pth" in err and "LIMA_BENCH_WEIGHTS" in err
    assert not (tmp_path / "calls.txt").exists()


def test_a_paper_table_can_be_planned_and_shown_without_its_data(call: Call) -> None:
    code, out, _ = call("plan", "table1", "--profile", "paper")
    assert code == 0
    assert out.startswith("table1, paper   176 cells")
    assert "no data root is given" in out
    code, out, _ = call("show", "table1", "--profile", "paper", "--only", "lima-vit_b", "--json")
    cells = {cell["column"]: cell for cell in json.loads(out)["cells"]}
    assert cells["nus-lp"]["reference"] == 56.65
    assert cells["kitti-1%"]["reference"] == 50.44
    assert cells["waymo-1%"]["reason"] == "not built yet: data set waymo"


def test_lists(call: Call) -> None:
    _, out, _ = call("list")
    for word in ("suites", "table1", "profiles", "smoke", "superflow", "waymo", "minkunet34"):
        assert word in out
    methods = json.loads(call("list", "methods", "--json")[1])["methods"]
    states = {entry["name"]: entry["state"] for entry in methods}
    assert (states["lima"], states["seal"]) == ("", "not built yet")


def test_a_plug_in_is_known_everywhere(call: Call, tmp_path: Path) -> None:
    (tmp_path / "plug.py").write_text(
        "from torch import nn\n"
        "from lima_bench.lima.api import Settings, register_method\n"
        "class Mine(Settings):\n    width: int = 3\n"
        "@register_method('plugged', version=7, settings=Mine)\n"
        "class Plugged(nn.Module): ...\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "schema: 1\nname: mine\ntitle: x\ndefaults: {pretrain_on: nuscenes}\n"
        "rows:\n  - {id: a, method: plugged, settings: {width: 4}}\n"
        "columns:\n  - {id: lp, task: linear_probe, on: nuscenes}\n"
    )
    from lima_bench.lima.methods.catalogue import METHODS

    try:
        assert "plugged" in call("list", "methods", "--plug", "plug.py")[1]
        words = ("run", "mine.yaml", "--plug", "plug.py", "--executor", "inline", "--json")
        code, out, err = call(*words)
        assert (code, err) == (0, "")
        assert json.loads(out)["cells"][0]["state"] == "done"
        (tmp_path / "plug.py").write_text((tmp_path / "plug.py").read_text() + "\n# changed\n")
        _, out, _ = call("plan", "mine.yaml", "--plug", "plug.py")
        assert "1 stale" in out.splitlines()[0]
    finally:
        METHODS._entries.pop("plugged", None)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["plan", "table1"], ["show", "table1"], ["plan", "table1", "--json"]],
)
def test_looking_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from lima_bench.suites.cli import main\n"
        f"sys.argv = ['lima-bench', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'sacred', 'numba', 'pandas', 'matplotlib', 'nuscenes', 'skimage'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    environment = {**os.environ, "LIMA_BENCH_STORE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

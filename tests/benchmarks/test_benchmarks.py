"""The benchmarks run, at tiny sizes, and what they rely on holds."""

import ast
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as program
from benchmarks import spconv_peer
from benchmarks.groups import GROUPS, ON_REQUEST
from benchmarks.scans import LARGE, QUICK, SMALL, scan, scan_voxels
from benchmarks.stopwatch import Stopwatch, TimedEngine
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.engine import ENGINES
from lima_bench.lima.backbones.sparse.maps import Level

ROOT = Path(__file__).resolve().parents[2]
CHEAP = ("layers", "maps", "scores", "boxes", "targets", "anchors", "heads")
KEYS = {"name", "value", "unit", "target", "met", "note", "spread"}


def test_cheap_groups_measure_something(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks", *CHEAP, "--quick", "--json", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    machine, *rows = json.loads(path.read_text())
    assert machine["name"] == "machine" and "torch" in machine["note"]
    assert all(set(row) == KEYS for row in rows)
    assert {row["name"].split("/")[0] for row in rows} == set(CHEAP)
    assert len({row["name"] for row in rows}) == len(rows)
    measured = [row for row in rows if row["value"] is not None]
    assert all(row["unit"] for row in measured)
    assert all(row["value"] > 0 for row in measured if row["unit"] in ("x", "of mm"))
    assert all(row["value"] is not None or row["note"] for row in rows)


@pytest.mark.parametrize("group", [*GROUPS, *ON_REQUEST])
def test_every_group_offers_rows(group: str) -> None:
    tree = ast.parse((ROOT / "benchmarks" / f"{group}.py").read_text())
    offered = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [argument.arg for argument in offered["rows"].args.args] == ["quick"]


def test_a_broken_group_costs_its_own_rows_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(quick: bool) -> None:
        raise ArithmeticError("no\nway")

    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "1")  # so that what the program sets is undone
    module = types.ModuleType("benchmarks.broken")
    monkeypatch.setattr(module, "rows", broken, raising=False)
    monkeypatch.setitem(sys.modules, "benchmarks.broken", module)
    monkeypatch.setattr(program, "chosen_groups", lambda *_: ["broken", "scores"])
    path = tmp_path / "rows.json"
    assert program.main(["--quick", "--json", str(path)]) == 1
    names = [row["name"] for row in json.loads(path.read_text())]
    assert names[:2] == ["machine", "broken/failed"]
    assert names[2:] and all(name.startswith("scores/") for name in names[2:])
    assert "broke: ArithmeticError: no" in capsys.readouterr().out


def test_scans_repeat_and_have_the_size_of_lidar_scans() -> None:
    assert (scan(QUICK) == scan(QUICK)).all() and len(scan(QUICK, seed=1)) > 500
    assert 19_000 < len(scan_voxels(LARGE).coords) < 24_000
    assert 5_500 < len(scan_voxels(SMALL).coords) < 6_500


def test_the_stopwatch_changes_no_bit() -> None:
    level = Level.of(scan_voxels(QUICK).coords, 1)
    plain, watch = ENGINES.get("reference"), Stopwatch()
    found = []
    for engine in (plain, TimedEngine(plain, watch)):
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(level.n_voxels, 8, generator=generator, requires_grad=True)
        weight = torch.randn(27, 8, 4, generator=generator, requires_grad=True)
        result = engine.convolve(features, weight, level.neighbours)
        forward_s = watch.seconds
        result.square().sum().backward()
        found.append((result, features.grad, weight.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert 0 < forward_s < watch.seconds


def test_the_stopwatch_asks_for_no_needless_gradient() -> None:
    level = Level.of(scan_voxels(QUICK).coords, 1)
    engine = TimedEngine(ENGINES.get("reference"), Stopwatch())
    weight = torch.randn(27, 4, 4, requires_grad=True)
    engine.convolve(torch.randn(level.n_voxels, 4), weight, level.neighbours).sum().backward()
    assert weight.grad is not None


def test_spconv_computes_the_same_network() -> None:
    if reason := spconv_peer.why_not():
        pytest.skip(reason)
    torch.manual_seed(0)
    ours = build_backbone("minkunet18", 4, bn_momentum=0.1)
    theirs, voxels = spconv_peer.SpconvNet(ours), scan_voxels(QUICK)
    expected, result = ours(voxels), theirs(voxels)
    assert (result - expected).abs().max() < 1e-4 * expected.abs().max()


def test_the_papers_curve_is_read_as_ratios_over_scalr() -> None:
    from benchmarks.frames import paper_ratios

    eight = paper_ratios()["LiMA 8"]
    assert eight["seconds"] == pytest.approx(19.5 / 10.1)
    assert eight["mib"] == pytest.approx(36.27 / 12.43)


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["start/nosuch", "--quick"], ["layers", "--json", "absent/x.json"]]
)
def test_what_means_nothing_is_refused_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    target = [] if "--json" in arguments else ["--json", str(tmp_path / "rows.json")]
    try:
        code: object = program.main([*arguments, *target])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert capsys.readouterr().err
    assert not list(tmp_path.iterdir())

"""Every layout: a random checkpoint of another code base gives its features in our network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lima_bench.lima.adopt.adopt import adopt, converted, write_adopted
from lima_bench.lima.adopt.layouts import LAYOUTS, minkunet
from lima_bench.lima.adopt.release import open_release
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.minkunet import MinkUNet, Plan, Stage
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import Voxels, voxelise
from tests.lima import foreign_networks as foreign

SLIDR_GRID = VoxelSettings(rounding="floor", shift="aligned16")
PAPER_GRID = VoxelSettings(rounding="round", shift="minimum")
CUBES = VoxelSettings(kind="cartesian", size=(0.2, 0.2, 0.2), rounding="round", shift="minimum")


def scene(channels: int, grid: VoxelSettings) -> tuple[Voxels, foreign.Cells]:
    """Two clouds in patches on both sides of the seam and beyond, and the cells they are in."""
    rng = np.random.default_rng(3)
    rho, z = rng.uniform(3.0, 4.5, 500), rng.uniform(-1.9, -1.2, 500)
    phi = np.radians(np.concatenate([rng.uniform(-176, -164, 250), rng.uniform(-9, 8, 250)]))
    xyz = np.stack([rho * np.cos(phi), rho * np.sin(phi), z], axis=1).astype(np.float32)
    features = rng.normal(0.5, 1.0, (500, channels)).astype(np.float32)
    cloud = np.repeat([0, 1], [280, 220])
    voxels = voxelise(xyz, features, cloud, grid, n_clouds=2)
    first = voxels.first.numpy()
    place = xyz[first].astype(np.float64)
    if grid.kind == "cylindrical":
        angle = np.degrees(np.arctan2(place[:, 1], place[:, 0]))
        place = np.stack([np.hypot(place[:, 0], place[:, 1]), angle, place[:, 2]], axis=1)
    place = place / np.array(grid.size)
    signed = (np.floor(place) if grid.rounding == "floor" else np.rint(place)).astype(int)
    if grid.shift == "minimum":
        for n in (0, 1):
            signed[cloud[first] == n] -= signed[cloud[first] == n].min(axis=0)
    rows = [(int(n), *map(int, cell)) for n, cell in zip(cloud[first], signed, strict=True)]
    cells = foreign.Cells(rows)
    assert cells.cells == rows  # the same order as ours, so rows can be compared
    return voxels, cells


def traced(network: MinkUNet, voxels: Voxels) -> dict[str, Tensor]:
    """Features after the stem and every stage."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: object) -> None:
            found[name] = output.features.clone()  # type: ignore[attr-defined]

        return hook

    network.stem.register_forward_hook(keep("stem"))
    for part in ("encoder", "decoder"):
        for i, blocks in enumerate(getattr(network, part)):
            blocks.register_forward_hook(keep(f"{part}.{i}"))
    with torch.no_grad():
        network.eval()(voxels)
    return found


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        assert wanted.abs().max() > 0.1
        error = (ours[name].double() - wanted).abs().max() / wanted.abs().max()
        assert error < 1e-5, (name, float(error))


def saved(path: Path, state: dict[str, Tensor], **more: object) -> Path:
    torch.save({**state, **more}, path)
    return path


FULL = {
    "slidr": ("minkowski", foreign.res16unet, 1, SLIDR_GRID, "minkunet34_slidr"),
    "superflow": ("torchsparse", foreign.superflow, 4, PAPER_GRID, "minkunet34"),
    "mmdet3d-spconv": ("spconv_xyz", foreign.mmdet3d, 4, CUBES, "minkunet34"),
}


@pytest.mark.parametrize("layout", FULL)
def test_a_full_minkunet34_gives_their_features(layout: str, tmp_path: Path) -> None:
    library, forward, channels, grid, backbone = FULL[layout]
    voxels, cells = scene(channels, grid)
    net = foreign.Network(library)
    forward(net, cells, voxels.features.double(), foreign.MINKUNET34, 32)
    adopted = adopt(saved(tmp_path / "any.name", net.state))
    assert (adopted.layout, adopted.backbone, adopted.in_channels) == (layout, backbone, channels)
    assert set(adopted.used.values()) == set(net.state)
    digest = write_adopted(adopted, tmp_path / "c.safetensors", {"seed": 0})
    assert digest == adopted.digest
    student = Student(build_backbone(backbone, channels, bn_momentum=0.1))
    load_student(tmp_path / "c.safetensors", student, backbone)
    assert_same(traced(student.backbone, voxels), net.trace)


PLAN = Plan(stem=(6, 6), encoder=(Stage(8, 1), Stage(16, 2)), decoder=(Stage(12, 1), Stage(8, 2)))
ONE_STEM = replace(PLAN, stem=(6,))
SMALL = {
    "slidr": ("minkowski", foreign.res16unet, 1, SLIDR_GRID, ONE_STEM),
    "tricc": ("minkowski", foreign.res16unet, 1, SLIDR_GRID, ONE_STEM),
    "superflow": ("torchsparse", foreign.superflow, 4, PAPER_GRID, PLAN),
    "mmdet3d-torchsparse": ("torchsparse", foreign.mmdet3d, 4, CUBES, PLAN),
    "mmdet3d-minkowski": ("minkowski", foreign.mmdet3d, 4, CUBES, PLAN),
    "mmdet3d-spconv": ("spconv_xyz", foreign.mmdet3d, 4, CUBES, PLAN),
    "mmdet3d-spconv 1.x": ("spconv1_xyz", foreign.mmdet3d, 4, CUBES, PLAN),
    "slidr-spconv-zyx": ("spconv_zyx", foreign.res16unet, 1, SLIDR_GRID, ONE_STEM),
    "slidr-spconv-xyz": ("spconv_xyz", foreign.res16unet, 1, SLIDR_GRID, ONE_STEM),
}


@pytest.mark.parametrize("case", SMALL)
def test_every_layout_gives_their_features(case: str, tmp_path: Path) -> None:
    library, forward, channels, grid, plan = SMALL[case]
    voxels, cells = scene(channels, grid)
    net = foreign.Network(library)
    forward(net, cells, voxels.features.double(), foreign.SMALL, 6)
    release = open_release(saved(tmp_path / "w.pt", net.state))
    layout = replace(LAYOUTS[case.partition(" ")[0]], networks={"small": minkunet(plan)})
    adopted = converted(release, layout, "")
    network = MinkUNet(plan, channels, 0.1)
    network.load_state_dict({n.removeprefix("backbone."): t for n, t in adopted.state.items()})
    assert_same(traced(network, voxels), net.trace)


def test_bottlenecks_give_their_features(tmp_path: Path) -> None:
    voxels, cells = scene(4, PAPER_GRID)
    net = foreign.Network("torchsparse")
    foreign.superflow(net, cells, voxels.features.double(), foreign.SMALL, 6, wide=4)
    release = open_release(saved(tmp_path / "w.pt", net.state))
    plan = replace(PLAN, block="bottleneck")
    adopted = converted(
        release, replace(LAYOUTS["superflow"], networks={"small": minkunet(plan)}), ""
    )
    network = MinkUNet(plan, 4, 0.1)
    network.load_state_dict({n.removeprefix("backbone."): t for n, t in adopted.state.items()})
    assert_same(traced(network, voxels), net.trace)


def test_a_voxelnet_gives_their_features(tmp_path: Path) -> None:
    from lima_bench.lima.bounded import voxelise_bounded  # type: ignore[import-not-found]
    from lima_bench.lima.recipes import GridBounds  # type: ignore[attr-defined]

    bounds = GridBounds(lower=(-3.2, -4.8, -5.0), upper=(3.2, 4.8, 3.0))
    grid = VoxelSettings(  # type: ignore[call-arg]
        kind="cartesian", size=(0.4, 0.4, 0.2), rounding="floor", bounds=bounds
    )
    rng = np.random.default_rng(0)
    xyz = (rng.normal(0, 1, (160, 3)) * [1.5, 2, 0.8]).astype(np.float32)
    features, cloud = np.column_stack((xyz, xyz[:, 0])), np.repeat([0, 1], [90, 70])
    voxels = voxelise_bounded(xyz, features, cloud, grid, n_clouds=2)
    cells = foreign.Cells([tuple(row) for row in voxels.coords.tolist()])
    net = foreign.Network("spconv_zyx")
    fed = voxels.features.double()
    out, wanted = foreign.voxel_backbone_8x(net, cells, fed, (0, 16, 24, 40))
    wrapped = {"model_state": {f"backbone_3d.{n}": t for n, t in net.state.items()}}
    wrapped["model_state"]["dense_head.bias"] = torch.zeros(3)
    adopted = adopt(saved(tmp_path / "w.pth", wrapped))
    assert (adopted.layout, adopted.backbone, adopted.in_channels) == ("openpcdet", "voxelnet", 4)
    assert list(adopted.skipped) == ["model_state.dense_head.bias"]
    student = Student(build_backbone("voxelnet", 4, bn_momentum=0.1))
    student.load_state_dict(dict(adopted.state))
    with torch.no_grad():
        ours = student.eval().backbone(voxels)
    assert len(ours) == len(out.cells)
    assert_same({"map": ours}, {"map": wanted})


def test_a_wrong_order_of_axes_would_be_seen(tmp_path: Path) -> None:
    """The comparison can fail: the same weights under the other order of axes differ."""
    voxels, cells = scene(1, SLIDR_GRID)
    net = foreign.Network("spconv_zyx")
    foreign.res16unet(net, cells, voxels.features.double(), foreign.SMALL, 6)
    release = open_release(saved(tmp_path / "w.pt", net.state))
    layout = replace(LAYOUTS["slidr-spconv-xyz"], networks={"small": minkunet(ONE_STEM)})
    network = MinkUNet(ONE_STEM, 1, 0.1)
    state = converted(release, layout, "").state
    network.load_state_dict({n.removeprefix("backbone."): t for n, t in state.items()})
    with pytest.raises(AssertionError):
        assert_same(traced(network, voxels), net.trace)

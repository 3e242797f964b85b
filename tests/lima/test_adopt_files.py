"""Files as they are found: wrapped, full of other things, broken, hostile, of other networks."""

from __future__ import annotations

import collections
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.lima.adopt.adopt import adopt, write_adopted
from lima_bench.lima.adopt.fit import their_name
from lima_bench.lima.adopt.layouts import LAYOUTS
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import save_student, weights_digest
from lima_bench.lima.recipes import InputSettings, StudentSettings
from lima_bench.lima.student import Student

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def slidr() -> State:
    """A SLidR network as its code base keeps it, with its head; tensors share their memory."""
    return _as_kept("slidr", "minkunet34_slidr", 1) | {
        "final.kernel": torch.zeros(96, 64),
        "final.bias": torch.zeros(1, 64),
    }


@pytest.fixture(scope="module")
def superflow() -> State:
    return _as_kept("superflow", "minkunet34", 4)


def _as_kept(layout_name: str, backbone: str, channels: int) -> State:
    """Names and shapes of a layout; values do not matter here (see test_adopt_layouts)."""
    layout = LAYOUTS[layout_name]
    order = layout.orders[0]
    with torch.device("meta"):
        ours = build_backbone(backbone, channels, bn_momentum=0.1).state_dict()
    state: State = {}
    for name, tensor in ours.items():
        is_kernel = tensor.ndim > 1
        shape = order.shape(tuple(tensor.shape)) if is_kernel else tuple(tensor.shape)
        whole = name.endswith("tracked")
        value = torch.tensor(3) if whole else torch.full((1,), 0.01)
        state[their_name(name, tensor.ndim, layout, order, 4)] = (
            value if whole else value.expand(shape)
        )
    return state


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refused(path: Path, layout: str = "auto") -> str:
    with pytest.raises(UserError) as caught:
        adopt(path, layout)
    return str(caught.value)


def test_the_published_numbers_of_tensors_and_parameters(slidr: State, superflow: State) -> None:
    def n_parameters(state: State) -> int:
        buffers = ("running_mean", "running_var", "tracked")
        return sum(t.numel() for n, t in state.items() if not n.endswith(buffers))

    assert (len(slidr), n_parameters(slidr)) == (374, 37_849_184)
    assert (len(superflow), n_parameters(superflow)) == (378, 37_873_280)
    assert max(t.numel() for t in slidr.values()) == 2_654_208
    assert slidr["block5.0.conv1.kernel"].numel() == 2_654_208


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model_points": s},
        lambda s: {"state_dict": {f"model_points.{n}": t for n, t in s.items()}},
        lambda s: {"model": {f"module.encoder.{n}": t for n, t in s.items()}},
        lambda s: {"model_points": {f"module.model.{n}": t for n, t in s.items()}, "epoch": 50},
        lambda s: {"state_dict": {f"model_{x}.{n}": t for n, t in s.items() for x in "qk"}},
    ],
)
def test_wrappers_come_off(wrap: Any, slidr: State, tmp_path: Path) -> None:
    adopted = adopt(saved(tmp_path / "x.bin", wrap(slidr)))
    assert (adopted.layout, adopted.backbone) == ("slidr", "minkunet34_slidr")
    assert len(adopted.used) == 372
    assert adopted.skipped and all("model_k" in n or ".final." in f".{n}" for n in adopted.skipped)


def test_a_raw_release_is_read_and_told(slidr: State, tmp_path: Path) -> None:
    images = {"encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}
    path = saved(
        tmp_path / "model.pt",
        {
            "model_points": slidr,
            "model_images": images,
            "epoch": 50,
            "config": {"cylindrical_coordinates": True, "voxel_size": 0.1, "resume_path": None},
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1}]},
        },
    )
    adopted = adopt(path)
    assert adopted.cartesian is False
    assert adopted.skipped == {
        "model_points.final.kernel": "head of pretraining; every task brings its own",
        "model_points.final.bias": "head of pretraining; every task brings its own",
        "model_images.encoder.conv1.weight": "image network",
        "optimizer.state.0.exp_avg": "state of the optimiser",
    }
    assert adopted.used["backbone.stem.0.convolution.weight"] == "model_points.conv0p1s1.kernel"


def test_settings_and_logs_of_other_packages_are_passed_over(
    superflow: State, tmp_path: Path
) -> None:
    """As mmengine writes: an object whose class is not here stands beside the tensors."""
    state = collections.OrderedDict((f"backbone_3d.{n}", t) for n, t in superflow.items())
    state["head_3d.classifier.weight"] = torch.zeros(64, 96)
    state["backbone_2d.norm.weight"] = torch.zeros(3)
    name = "mmengine.logging.history_buffer"
    history = type("HistoryBuffer", (), {"__module__": name})
    log = history()
    log.values = [1.0]
    with pytest.MonkeyPatch.context() as patch:
        for parent in ("mmengine", "mmengine.logging", name):
            patch.setitem(sys.modules, parent, types.ModuleType(parent))
        sys.modules[name].HistoryBuffer = history  # type: ignore[attr-defined]
        content = {"state_dict": state, "message_hub": {"loss": log}, "meta": {"epoch": 1}}
        path = saved(tmp_path / "epoch_50.pth", content)
    before = torch.serialization.get_safe_globals()
    adopted = adopt(path)
    assert set(torch.serialization.get_safe_globals()) == set(before)
    assert (adopted.layout, adopted.in_channels, len(adopted.used)) == ("superflow", 4, 378)
    assert adopted.skipped["state_dict.backbone_2d.norm.weight"] == "2D network"
    assert "head of pretraining" in adopted.skipped["state_dict.head_3d.classifier.weight"]


def test_safetensors_whatever_the_file_is_called(superflow: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(safetensors.torch.save({n: t.contiguous() for n, t in superflow.items()}))
    assert adopt(path).layout == "superflow"


@pytest.mark.parametrize(
    ("extra", "layout"),
    [
        ({"final.0.kernel": (96, 96), "final_cycle.3.kernel": (96, 64)}, "tricc"),
        ({"final_1.kernel": (96, 64), "final_2.0.kernel": (32, 64, 64)}, "hvdistill"),
        ({}, "slidr"),
    ],
)
def test_heads_tell_whose_it_is(extra: Any, layout: str, slidr: State, tmp_path: Path) -> None:
    trunk = {n: t for n, t in slidr.items() if not n.startswith("final")}
    heads = {name: torch.zeros(shape) for name, shape in extra.items()}
    adopted = adopt(saved(tmp_path / "w.pt", {"model_points": trunk | heads}))
    assert adopted.layout == layout
    assert {n.removeprefix("model_points.") for n in adopted.skipped} == set(extra)
    assert all("every task brings its own" in reason for reason in adopted.skipped.values())


def test_the_settings_of_a_release_tell_cartesian_voxels(slidr: State, tmp_path: Path) -> None:
    content = {"model_points": slidr, "config": {"cylindrical_coordinates": False}}
    assert adopt(saved(tmp_path / "w.pt", content)).cartesian is True


def test_counters_may_be_absent(slidr: State, tmp_path: Path) -> None:
    old = {n: t for n, t in slidr.items() if not n.endswith("num_batches_tracked")}
    adopted = adopt(saved(tmp_path / "w.pt", old))
    assert len(adopted.absent) == 62
    assert len(adopted.state) == 372


def test_half_precision_becomes_single(slidr: State, tmp_path: Path) -> None:
    halves = {n: t.half() if t.is_floating_point() else t for n, t in slidr.items()}
    adopted = adopt(saved(tmp_path / "w.pt", halves))
    assert {t.dtype for t in adopted.state.values()} == {torch.float32, torch.int64}


def test_our_own_files_bring_their_student(tmp_path: Path) -> None:
    settings = StudentSettings(
        backbone="minkunet_tiny", inputs=InputSettings(channels=("intensity",))
    )
    student = Student(build_backbone("minkunet_tiny", 1, bn_momentum=0.1))
    path = tmp_path / "any.bin"
    meta = {"backbone": "minkunet_tiny", "student": settings.model_dump(mode="json")}
    digest = save_student(path, student, meta)
    adopted = adopt(path)
    assert (adopted.layout, adopted.digest) == ("lima-bench", digest)
    assert adopted.student == meta["student"]
    again = write_adopted(adopted, tmp_path / "again.safetensors", meta)
    assert again == digest == weights_digest(student.state_dict())


# --- what is refused


def test_a_missing_file(tmp_path: Path) -> None:
    assert "There is no such file." in refused(tmp_path / "none.pt")


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(kind: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    content = {f"conv{i}.kernel": torch.ones(8, 8) for i in range(40)}
    if kind == "safetensors":
        path.write_bytes(safetensors.torch.save(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "cut off or damaged" in refused(path)


class _Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_with_code_is_refused_and_not_run(slidr: State, tmp_path: Path) -> None:
    target = tmp_path / "was_run"
    path = saved(tmp_path / "w.pt", {"model_points": slidr, "config": _Hostile(target)})
    assert "system" in refused(path)
    path.write_bytes(pickle.dumps(_Hostile(target)))
    assert "cut off" in refused(path) or "system" in refused(path)
    assert not target.exists()


@pytest.mark.filterwarnings("error")
def test_a_pickle_that_torch_did_not_write_is_refused_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"state_dict": {"weight": 1}}, protocol=4))
    assert "torch did not write it" in refused(path)


def test_no_table_at_all(tmp_path: Path) -> None:
    assert "holds a list" in refused(saved(tmp_path / "w.pt", [torch.zeros(3)]))
    assert "There is no tensor in this file" in refused(saved(tmp_path / "v.pt", {"epoch": 3}))
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as file:
        file.writestr("a.txt", "text")
    assert "cut off or damaged" in refused(tmp_path / "z.pt")


def test_an_unknown_layout_says_what_is_there(tmp_path: Path) -> None:
    content = {"stem.0.weight": torch.zeros(5, 2), "head.bias": torch.zeros(3)}
    said = refused(saved(tmp_path / "slidr.pt", content))
    assert "no known layout" in said
    assert "stem.* (1)" in said and "stem.0.weight (5, 2)" in said
    assert "lima-bench" in said and "superflow" in said and "mmdet3d-spconv" in said


def test_a_detector(tmp_path: Path) -> None:
    content = {"model_state": {"dense_head.conv.weight": torch.zeros(3)}}
    assert "This is a detector" in refused(saved(tmp_path / "w.pt", content))


def test_another_depth(slidr: State, superflow: State, tmp_path: Path) -> None:
    without = {n: t for n, t in slidr.items() if not n.startswith("block4.5.")}
    said = refused(saved(tmp_path / "a.pt", without))
    assert "nearest is minkunet34_slidr, from which" in said
    assert "block4.5.conv1.kernel: absent, (27, 256, 256) wanted" in said
    more = slidr | {"block1.2.conv1.kernel": torch.zeros(27, 32, 32)}
    said = refused(saved(tmp_path / "b.pt", more))
    assert "block1.2.conv1.kernel: (27, 32, 32) in the file, no such layer" in said
    shallow = _as_kept("superflow", "minkunet18", 4)
    assert adopt(saved(tmp_path / "c.pt", shallow)).backbone == "minkunet18"
    deeper = shallow | {n: t for n, t in superflow.items() if n.startswith("block2.2.")}
    assert "nearest is minkunet18" in refused(saved(tmp_path / "d.pt", deeper))


def test_other_widths_and_kernels(slidr: State, tmp_path: Path) -> None:
    wide = slidr | {"conv0p1s1.kernel": torch.zeros(125, 1, 32)}
    said = refused(saved(tmp_path / "w.pt", wide))
    assert "conv0p1s1.kernel: (125, 1, 32) in the file, (27, 1, 32) wanted" in said


def test_a_bias_that_we_have_not(slidr: State, tmp_path: Path) -> None:
    said = refused(saved(tmp_path / "w.pt", slidr | {"conv1p1s2.bias": torch.zeros(1, 32)}))
    assert "conv1p1s2.bias: (1, 32) in the file, no such layer" in said


def test_channels_of_the_stem_are_told(superflow: State, tmp_path: Path) -> None:
    three = superflow | {"conv0.0.conv.kernel": torch.zeros(27, 3, 32)}
    assert adopt(saved(tmp_path / "w.pt", three)).in_channels == 3


def test_an_spvcnn_is_not_its_voxel_branch(superflow: State, tmp_path: Path) -> None:
    branch = {"point_transforms.0.0.weight": torch.zeros(256, 32)}
    assert "It is an SPVCNN" in refused(saved(tmp_path / "w.pt", superflow | branch))


def test_a_residual_voxelnet_is_not_the_plain_one(tmp_path: Path) -> None:
    """OpenPCDet's stock detectors have it; both flavours are named."""
    net = build_backbone("voxelnet_residual", 5, bn_momentum=0.1)
    state = {
        f"backbone_3d.{n}": t.view(-1, 3, 3 if len(t) > 3 else 1, *t.shape[1:])
        if t.ndim == 3
        else t
        for n, t in net.state_dict().items()
    }
    said = refused(saved(tmp_path / "w.pth", {"model_state": state}))
    assert "VoxelResBackBone8x" in said and "voxelnet_residual" in said
    assert "the plain VoxelBackBone8x (voxelnet)" in said


def test_values_that_are_no_numbers(slidr: State, tmp_path: Path) -> None:
    broken = slidr | {"bn3.bn.weight": torch.full((64,), float("nan"))}
    assert "values that are no numbers: bn3.bn.weight" in refused(saved(tmp_path / "w.pt", broken))


def test_two_networks_in_one_file(slidr: State, superflow: State, tmp_path: Path) -> None:
    twice = {"model_points": slidr, "state_dict": slidr}
    assert "2 times, under model_points., state_dict." in refused(saved(tmp_path / "a.pt", twice))
    both = {"model_points": slidr, "backbone_3d": superflow}
    said = refused(saved(tmp_path / "b.pt", both))
    assert "several layouts: slidr, superflow" in said
    assert adopt(tmp_path / "b.pt", "superflow").backbone == "minkunet34"


def test_a_layout_that_it_has_not(slidr: State, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", slidr)
    assert "does not have the layout superflow" in refused(path, "superflow")
    assert 'Did you mean "slidr"?' in refused(path, "sldr")
    assert "not written by lima-bench" in refused(path, "lima-bench") or "safetensors" in refused(
        path, "lima-bench"
    )


def test_spconv_under_slidrs_names_must_be_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pt", _as_kept("slidr-spconv-zyx", "minkunet34_slidr", 1))
    assert "--layout slidr-spconv-zyx|slidr-spconv-xyz" in refused(path)
    assert adopt(path, "slidr-spconv-zyx").layout == "slidr-spconv-zyx"

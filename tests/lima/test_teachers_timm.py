"""Teachers and timm: our transformers against timm's, and any model of timm as a teacher."""

import builtins
import importlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from lima_bench.common.errors import UserError
from lima_bench.lima.teachers import resnet, vit
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.files import WEIGHTS_VARIABLE, timm_names, weights_digest
from lima_bench.lima.teachers.load import load_teacher
from lima_bench.suites import known as known_module
from lima_bench.suites.known import gather
from tests.lima.timm_here import timm_or_skip

OURS = {"small": vit.vit_small, "base": vit.vit_base, "large": vit.vit_large}


@pytest.fixture
def timm():
    return timm_or_skip()


def random_state(factory):
    """Weights under DINOv2's names; scaled so that every block changes the tokens visibly."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        wanted = factory().state_dict()
    state = {}
    for name, tensor in wanted.items():
        matrix = name.endswith("weight") and tensor.ndim > 1
        width = tensor[0].numel() if matrix else 4
        noise = torch.empty(tensor.shape).uniform_(-1, 1, generator=generator)
        state[name] = noise * width**-0.5 + ("norm" in name and name.endswith("weight"))
    return state


def filled(network, state):
    """`network`, which lies on the meta device, with `state`, and ready to be asked."""
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def ours_and_theirs(timm, size, image_size):
    """Both transformers on the same weights; theirs with its learnt grid at `image_size`."""
    state = random_state(OURS[size])
    with torch.device("meta"):
        ours = OURS[size]()
        name = f"vit_{size}_patch14_dinov2"
        theirs = timm.create_model(name, pretrained=False, img_size=image_size)
    grid = tuple(side // 14 for side in image_size)
    place, of_class = vit.position_embedding(state["pos_embed"], grid)
    resampled = {**state, "pos_embed": torch.cat([of_class, place], 1)}
    del resampled["mask_token"]
    return filled(ours, state), filled(theirs, resampled)


def theirs_of(model, pixels):
    """Patch tokens of the last block before the final norm, channels last, by timm itself."""
    last = model.forward_intermediates(pixels, indices=1, norm=False, intermediates_only=True)[-1]
    return last.permute(0, 2, 3, 1)


def apart(found, expected):
    """Largest difference, as a share of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("size", OURS)
def test_vit_equals_timms_for_the_same_weights(timm, size):
    """At a grid that is not the native one, given the position embedding as we resample it."""
    ours, theirs = ours_and_theirs(timm, size, (42, 70))
    pixels = torch.randn(1, 3, 42, 70, generator=torch.Generator().manual_seed(1))
    assert apart(ours(pixels), theirs_of(theirs, pixels)) < 1e-5
    with torch.no_grad():
        assert apart(ours(pixels), theirs.norm(theirs_of(theirs, pixels))) > 0.1


def test_vit_equals_timms_at_the_native_grid(timm):
    """518 x 518, where nobody resamples: no help from our position embedding."""
    state = random_state(vit.vit_small)
    with torch.device("meta"):
        theirs = timm.create_model("vit_small_patch14_dinov2", pretrained=False, depth=2)
        ours = vit.VisionTransformer(width=384, depth=2, heads=6)
    for network in (ours, theirs):
        names = network.state_dict().keys()
        filled(network, {name: tensor for name, tensor in state.items() if name in names})
    pixels = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(1))
    assert apart(ours(pixels), theirs_of(theirs, pixels)) < 1e-5


def test_position_embeddings_differ_by_the_authors_guard_and_by_antialiasing(timm):
    """timm resamples to the exact grid and antialiases; DINOv2's authors do neither."""
    learnt = torch.randn(1, 1370, 8, generator=torch.Generator().manual_seed(0))
    resample = timm.layers.resample_abs_pos_embed
    place, of_class = vit.position_embedding(learnt, (16, 32))
    ours = torch.cat([of_class, place], 1)
    native = learnt[:, 1:].reshape(1, 37, 37, 8).permute(0, 3, 1, 2)
    exact = F.interpolate(native, (16, 32), mode="bicubic").flatten(2).transpose(1, 2)
    plain = resample(learnt, [16, 32], num_prefix_tokens=1, antialias=False)
    assert apart(plain, torch.cat([of_class, exact], 1)) < 1e-6
    guard, smoothing = apart(ours, plain), apart(resample(learnt, [16, 32]), plain)
    assert 0.005 < guard < smoothing


def test_our_resnet_equals_timms_plain_and_dilated(timm):
    state = resnet_state(timm)
    pixels = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for factory, stride in ((resnet.plain, 32), (resnet.dilated, 4)):
        theirs = timm.create_model(
            "resnet50", pretrained=False, num_classes=0, output_stride=max(stride, 8)
        ).eval()
        theirs.load_state_dict(state)
        ours = filled(factory(), state)
        with torch.no_grad():
            found, expected = ours(pixels), theirs.forward_features(pixels).permute(0, 2, 3, 1)
        if stride == 32:  # timm does not dilate stage 2: compared where it can follow
            assert apart(found, expected) < 1e-5
        else:
            assert apart(found[:, ::2, ::2], expected) < 1e-5


def resnet_state(timm):
    """timm's own first weights, with statistics that are not those of a fresh network."""
    torch.manual_seed(0)
    model = timm.create_model("resnet50", pretrained=False, num_classes=0, zero_init_last=False)
    for name, tensor in model.state_dict().items():
        if "running" in name:
            tensor.uniform_(*((0.5, 1.5) if name.endswith("var") else (-0.1, 0.1)))
    return model.state_dict()


@pytest.fixture
def folder(timm, tmp_path, monkeypatch):
    """A weights folder with a classifier and a transformer as timm's repositories hold them."""
    torch.manual_seed(0)
    for name in ("resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"):
        state = timm.create_model(name, pretrained=False).state_dict()
        save_file(state, tmp_path / f"timm--{name}.safetensors")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "width", "stride"),
    [
        ("resnet18", 512, 32),
        ("vit_tiny_patch16_224", 192, 16),
        ("swin_tiny_patch4_window7_224", 768, 32),
    ],
)
def test_any_model_of_timm_is_a_teacher(timm, folder, name, width, stride):
    before = torch.random.get_rng_state()
    teacher = load_teacher(f"timm:{name}")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (teacher.width, teacher.card.stride) == (width, stride)
    pixels = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(1))
    found = teacher(pixels)
    assert found.shape == (2, 64 // stride, 128 // stride, width)
    cfg = timm.get_pretrained_cfg(name)
    assert (teacher.card.mean, teacher.card.std) == (cfg.mean, cfg.std)
    assert not any(module.training for module in teacher.train().modules())
    assert not found.requires_grad and found.isfinite().all()


def test_features_are_those_of_timm_before_the_norm_without_prefix_tokens(timm, folder):
    name = "vit_tiny_patch16_224"
    teacher = load_teacher(f"timm:{name}")
    model = timm.create_model(name, pretrained=False, dynamic_img_size=True).eval()
    model.load_state_dict(load_safetensors(folder / f"timm--{name}.safetensors"))
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        tokens = model.forward_features((pixels - 0.5) / 0.5)[:, 1:].reshape(1, 4, 6, 192)
    torch.testing.assert_close(model.norm(teacher(pixels)).detach(), tokens)


def load_safetensors(path):
    return importlib.import_module("safetensors.torch").load_file(path)


def test_digest_of_the_file_enters_the_key(timm, folder):
    known = gather()
    assert "timm:resnet18" not in list(known.teachers)
    card = known.teachers["timm:resnet18"]
    assert known.weights.get("timm:resnet18") == weights_digest(card, folder) != ""
    assert known.weights.get("timm:resnet34", "") == ""
    assert known.fault("teacher", "timm:resnet18", "suite.yaml:3") is None
    assert timm_names() == tuple(
        f"timm:{name}"
        for name in ("resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224")
    )


def test_missing_file_tells_its_name_and_where_to_get_it(timm, tmp_path):
    with pytest.raises(UserError) as caught:
        load_teacher("timm:resnet34.a1_in1k", tmp_path)
    text = str(caught.value)
    for part in ("timm--resnet34.a1_in1k.safetensors", "timm/resnet34.a1_in1k", WEIGHTS_VARIABLE):
        assert part in text


@pytest.mark.parametrize("name", ["resnet5O", "resnet50.a1_in1", "hf_hub:somebody/model", ""])
def test_unknown_name_shows_the_nearest(timm, name):
    with pytest.raises(UserError, match=r'There is no teacher "timm:') as caught:
        TEACHERS.get(f"timm:{name}", "suite.yaml:3")
    assert caught.value.where == "suite.yaml:3"
    if name.startswith("resnet"):
        assert 'mean "timm:resnet5' in str(caught.value)
    fault = gather().fault("teacher", f"timm:{name}", "suite.yaml:4")
    assert fault is not None and fault.where == "suite.yaml:4" and fault.what == caught.value.what


def test_size_that_the_model_does_not_take_tells_so(timm, tmp_path):
    name = "mixer_s16_224"
    state = timm.create_model(name, pretrained=False).state_dict()
    save_file(state, tmp_path / f"timm--{name}.safetensors")
    with pytest.raises(UserError, match="takes no images of 64 x 96"):
        load_teacher(f"timm:{name}", tmp_path)(torch.rand(1, 3, 64, 96))


def test_without_timm_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("lima_bench.common.optional.available", lambda package: False)
    with pytest.raises(UserError, match=r"lima-bench\[teachers\]"):
        TEACHERS.get("timm:resnet18")
    fault = gather().fault("teacher", "timm:resnet18", "suite.yaml:3:9")
    assert fault is not None and fault.where == "suite.yaml:3:9"
    assert "lima-bench[teachers]" in fault.how


def test_timm_that_does_not_import_tells_why(monkeypatch):
    monkeypatch.setattr("lima_bench.common.optional.available", lambda package: True)
    whole = builtins.__import__

    def broken(name, *rest):
        if name == "timm":
            raise RuntimeError("operator torchvision::nms does not exist")
        return whole(name, *rest)

    monkeypatch.setattr(importlib, "import_module", lambda name: broken(name))
    with pytest.raises(UserError, match="torchvision::nms does not exist"):
        TEACHERS.get("timm:resnet18")


def test_listed_teachers_load_no_timm():
    code = (
        "import sys; from lima_bench.suites.known import gather; gather(); "
        "sys.exit(bool({'torch', 'timm'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert known_module.gather().fault("teacher", "vit-s", "here") is not None

"""Teachers: published names, shapes and sizes; frozen; weights never trusted."""

import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from lima_bench.common.errors import UserError
from lima_bench.lima.checkpoint import read_weights
from lima_bench.lima.teachers import vit
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.files import WEIGHTS_VARIABLE, find_weights, weights_digest
from lima_bench.lima.teachers.load import Teacher, load_teacher

SIZES = {
    "vit_s": (vit.vit_small, 384, 12, 22_056_576),
    "vit_b": (vit.vit_base, 768, 12, 86_580_480),
    "vit_l": (vit.vit_large, 1024, 24, 304_368_640),
}


def published_shapes(width, depth):
    """Names and shapes in the authors' files (facebookresearch/dinov2, backbone only)."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1370, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "ls1.gamma": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
        "ls2.gamma": (width,),
    }
    for number in range(depth):
        shapes |= {f"blocks.{number}.{name}": shape for name, shape in block.items()}
    return shapes


@pytest.mark.parametrize("name", SIZES)
def test_names_shapes_and_size_are_the_published_ones(name):
    factory, width, depth, n_parameters = SIZES[name]
    with torch.device("meta"):
        network = factory()
    found = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert found == published_shapes(width, depth)
    assert sum(p.numel() for p in network.parameters()) == n_parameters
    assert TEACHERS.get(name).width == width


@pytest.fixture
def small():
    """A transformer of the same make with few, random weights."""
    torch.manual_seed(0)
    network = vit.VisionTransformer(width=32, depth=2, heads=2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network.double()


def reference_forward(state, pixels, heads, depth):
    """The transformer from its equations, token by token attention written out."""
    width = state["cls_token"].shape[-1]
    weight = state["patch_embed.proj.weight"].reshape(width, -1)
    patches = F.unfold(pixels, 14, stride=14).transpose(1, 2) @ weight.T
    patches = patches + state["patch_embed.proj.bias"]
    rows, cols = pixels.shape[-2] // 14, pixels.shape[-1] // 14
    places = state["pos_embed"][:, 1:].reshape(1, 37, 37, width).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / 37, (cols + 0.1) / 37)
    places = F.interpolate(places, scale_factor=factors, mode="bicubic")
    patches = patches + places.flatten(2).transpose(1, 2)
    start = (state["cls_token"] + state["pos_embed"][:, :1]).expand(len(pixels), 1, width)
    x = torch.cat([start, patches], 1)
    for n in range(depth):
        get = {k.split(".", 2)[2]: v for k, v in state.items() if k.startswith(f"blocks.{n}.")}
        y = F.layer_norm(x, (width,), get["norm1.weight"], get["norm1.bias"], 1e-6)
        q, k, v = (y @ get["attn.qkv.weight"].T + get["attn.qkv.bias"]).chunk(3, -1)
        parts = []
        for head in range(heads):
            cut = slice(head * width // heads, (head + 1) * width // heads)
            score = q[..., cut] @ k[..., cut].transpose(1, 2) / (width // heads) ** 0.5
            parts.append(score.softmax(-1) @ v[..., cut])
        y = torch.cat(parts, -1) @ get["attn.proj.weight"].T + get["attn.proj.bias"]
        x = x + get["ls1.gamma"] * y
        y = F.layer_norm(x, (width,), get["norm2.weight"], get["norm2.bias"], 1e-6)
        y = F.gelu(y @ get["mlp.fc1.weight"].T + get["mlp.fc1.bias"])
        x = x + get["ls2.gamma"] * (y @ get["mlp.fc2.weight"].T + get["mlp.fc2.bias"])
    return x[:, 1:].reshape(len(pixels), rows, cols, width)


def test_forward_equals_the_equations(small):
    pixels = torch.randn(2, 3, 42, 70, dtype=torch.float64)
    expected = reference_forward(small.state_dict(), pixels, heads=2, depth=2)
    torch.testing.assert_close(small(pixels), expected)


def test_position_embedding_uses_the_authors_scale_factors():
    learnt = torch.randn(1, 1370, 4)
    place, cls_place = vit.position_embedding(learnt, (16, 32))
    native = learnt[:, 1:].reshape(1, 37, 37, 4).permute(0, 3, 1, 2)
    exact = F.interpolate(native, (16, 32), mode="bicubic").flatten(2).transpose(1, 2)
    shifted = F.interpolate(native, scale_factor=(16.1 / 37, 32.1 / 37), mode="bicubic")
    assert torch.equal(place, shifted.flatten(2).transpose(1, 2))
    assert (place - exact).abs().max() > 0.05
    assert torch.equal(cls_place, learnt[:, :1])
    assert torch.equal(vit.position_embedding(learnt, (37, 37))[0], learnt[:, 1:])


def test_unused_tensors_do_not_change_the_output(small):
    pixels = torch.randn(1, 3, 28, 28, dtype=torch.float64)
    before = small(pixels)
    for parameter in (small.mask_token, small.norm.weight, small.norm.bias):
        nn.init.normal_(parameter)
    assert torch.equal(small(pixels), before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A weights folder with a random ViT-S under a name of one's own."""
    torch.manual_seed(0)
    shapes = published_shapes(384, 12)
    state = {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}
    save_file(state, tmp_path / "dinov2_vits14_pretrain.safetensors")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    return tmp_path


def test_loads_from_the_weights_folder(folder):
    teacher = load_teacher("vit_s")
    out = teacher(torch.rand(1, 3, 28, 56))
    assert out.shape == (1, 2, 4, 384)
    assert out.isfinite().all()
    assert weights_digest(teacher.card) == weights_digest(teacher.card, folder)


def test_is_frozen_and_stays_in_evaluation_mode(folder):
    teacher = load_teacher("vit_s")
    nn.Sequential(teacher).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher(torch.rand(1, 3, 14, 14, requires_grad=True)).requires_grad


def test_normalises_by_imagenet():
    seen = []
    probe = nn.Module()
    probe.forward = lambda pixels: seen.append(pixels) or pixels.permute(0, 2, 3, 1)
    Teacher(TEACHERS.get("tiny"), probe)(torch.full((1, 3, 4, 4), 0.5))
    expected = torch.tensor([0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225])
    torch.testing.assert_close(seen[0][0, :, 0, 0], expected)


def test_size_that_is_no_multiple_of_the_patch_tells_so(folder):
    with pytest.raises(UserError, match="225 x 448 is no multiple of 14"):
        load_teacher("vit_s")(torch.rand(1, 3, 225, 448))


def test_missing_file_tells_name_source_and_remedy(tmp_path):
    with pytest.raises(UserError) as caught:
        load_teacher("vit_b", tmp_path)
    text = str(caught.value)
    for part in (
        "dinov2_vitb14_pretrain.pth",
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        "facebookresearch/dinov2",
        "LIMA_BENCH_WEIGHTS",
    ):
        assert part in text


def test_no_folder_at_all_tells_the_variable(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(UserError, match="LIMA_BENCH_WEIGHTS"):
        find_weights(TEACHERS.get("vit_l"))


def test_wrong_shape_names_the_tensor(tmp_path):
    state = {name: torch.zeros(shape) for name, shape in published_shapes(384, 12).items()}
    state["blocks.3.attn.qkv.weight"] = torch.zeros(3, 384)
    save_file(state, tmp_path / "dinov2_vits14_pretrain.safetensors")
    with pytest.raises(
        UserError, match=r"blocks\.3\.attn\.qkv\.weight\n.*\(3, 384\).*\(1152, 384\)"
    ):
        load_teacher("vit_s", tmp_path)


@pytest.mark.parametrize(("change", "message"), [("add", "no tensor"), ("drop", "missing")])
def test_other_tensor_names_are_refused(tmp_path, change, message):
    state = {name: torch.zeros(shape) for name, shape in published_shapes(384, 12).items()}
    if change == "add":
        state["register_tokens"] = torch.zeros(1, 4, 384)
    else:
        del state["norm.bias"]
    save_file(state, tmp_path / "dinov2_vits14_pretrain.safetensors")
    with pytest.raises(UserError, match=message):
        load_teacher("vit_s", tmp_path)


def test_published_name_with_other_content_is_refused(tmp_path):
    torch.save({"cls_token": torch.zeros(1)}, tmp_path / "dinov2_vits14_pretrain.pth")
    with pytest.raises(UserError, match="not the published file"):
        load_teacher("vit_s", tmp_path)


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("code of a weight file ran",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_wants_code_is_refused(tmp_path):
    for number, save in enumerate((torch.save, lambda v, p: p.write_bytes(pickle.dumps(v)))):
        path = tmp_path / f"{number}.pth"
        save({"cls_token": Harm()}, path)
        with pytest.raises(UserError, match="run code"):
            read_weights(path)


def test_torch_files_of_plain_tensors_are_read(tmp_path):
    torch.save({"a": torch.arange(3)}, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth")["a"].tolist() == [0, 1, 2]
    torch.save({"model": {"a": torch.arange(3)}}, tmp_path / "shell.pth")
    assert read_weights(tmp_path / "shell.pth")["a"].tolist() == [0, 1, 2]
    torch.save({"a": torch.arange(3), "epoch": 7}, tmp_path / "b.pth")
    with pytest.raises(UserError, match="no table of tensors"):
        read_weights(tmp_path / "b.pth")


def test_teacher_that_is_not_built_tells_why():
    card = TEACHERS.get("vit_s")
    planned = card.model_copy(update={"implementation": "", "missing": "It is not built yet."})
    with pytest.raises(UserError, match="not built yet"):
        find_weights(planned)


def test_unknown_teacher_shows_the_nearest():
    with pytest.raises(UserError, match='mean "vit_s"'):
        load_teacher("vit-s")


def test_own_normalisation_of_a_card_is_used():
    card = TEACHERS.get("tiny").model_copy(update={"mean": (0.5,) * 3, "std": (0.25, 0.5, 1.0)})
    probe = nn.Module()
    probe.forward = lambda pixels: pixels.permute(0, 2, 3, 1)
    found = Teacher(card, probe)(torch.full((1, 3, 4, 4), 1.0))
    assert found[0, 0, 0].tolist() == [2.0, 1.0, 0.5]


def test_cards_and_file_search_load_no_torch():
    code = (
        "import sys; import lima_bench.lima.teachers.files; "
        "sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["tiny", "random_tiny"])
def test_shipped_weights_are_small_whole_and_give_finite_features(name):
    card = TEACHERS.get(name)
    path = find_weights(card)
    assert path.stat().st_size < 1_000_000
    assert weights_digest(card) == card.sha256
    out = load_teacher(name)(torch.rand(2, 3, 56, 96))
    assert out.shape == (2, 14, 24, card.width)
    assert out.isfinite().all()

"""ResNet-50: the authors' file by its names, dilation as specified, frozen to its statistics."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from lima_bench.common.errors import UserError
from lima_bench.lima.checkpoint import read_weights
from lima_bench.lima.teachers import resnet
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.load import load_teacher
from lima_bench.lima.teachers.weights import chosen, fill

DILATIONS = {"plain": ((1, 1),) * 4, "dilated": ((1, 1), (1, 2), (2, 4), (4, 8))}
"""Of the first and of the other blocks of each stage."""
STRIDES = {"plain": (1, 2, 2, 2), "dilated": (1, 1, 1, 1)}


def random_state(dtype=torch.float32):
    """Weights that keep activations near 1, statistics included, so that every tensor matters."""
    torch.manual_seed(0)
    state = {}
    for name, tensor in resnet.plain().state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif tensor.ndim == 4:
            fan_in = tensor[0].numel()
            state[name] = torch.randn(tensor.shape, dtype=dtype) * (1.5 / fan_in) ** 0.5
        elif name.endswith(("running_var", "weight")):
            state[name] = 0.5 + torch.rand(tensor.shape, dtype=dtype)
        else:
            state[name] = 0.1 * torch.randn(tensor.shape, dtype=dtype)
    return state


def reference_forward(state, x, kind):
    """The network from its definition, one line per layer, on the tensors of the file."""

    def norm(x, name):
        parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        return F.batch_norm(x, *parts, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)

    def conv(x, name, **how):
        return F.conv2d(x, state[f"{name}.weight"], **how)

    x = norm(conv(x, "conv1", stride=2, padding=3), "bn1").relu()
    x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    for stage, n_blocks in enumerate((3, 4, 6, 3)):
        for block in range(n_blocks):
            at = f"layer{stage + 1}.{block}"
            stride = STRIDES[kind][stage] if block == 0 else 1
            dilation = DILATIONS[kind][stage][min(block, 1)]
            y = norm(conv(x, f"{at}.conv1"), f"{at}.bn1").relu()
            how = {"stride": stride, "padding": dilation, "dilation": dilation}
            y = norm(conv(y, f"{at}.conv2", **how), f"{at}.bn2").relu()
            y = norm(conv(y, f"{at}.conv3"), f"{at}.bn3")
            if block == 0:
                x = norm(conv(x, f"{at}.downsample.0", stride=stride), f"{at}.downsample.1")
            x = (x + y).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("kind", DILATIONS)
def test_forward_equals_the_definition(kind):
    state = random_state(torch.float64)
    network = getattr(resnet, kind)().double().eval()
    network.load_state_dict(state)
    pixels = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), reference_forward(state, pixels, kind))


def test_dilated_features_at_every_eighth_cell_are_the_plain_ones():
    """Dilation only fills in the cells between: nothing that the plain network saw is lost."""
    fine, coarse = (f().double().eval() for f in (resnet.dilated, resnet.plain))
    for network in (fine, coarse):
        network.load_state_dict(random_state(torch.float64))
    pixels = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        expected, found = coarse(pixels), fine(pixels)
    assert found.shape == (1, 16, 24, 2048) and expected.shape == (1, 2, 3, 2048)
    torch.testing.assert_close(found[:, ::8, ::8], expected)
    assert (found[:, 1::8, ::8] - expected).abs().max() > 0.1


@pytest.mark.parametrize(("name", "grid"), [("resnet50", (56, 104)), ("resnet50_plain", (7, 13))])
def test_grid_and_size_are_the_specified_ones(name, grid):
    card = TEACHERS.get(name)
    with torch.device("meta"):
        network = getattr(resnet, card.implementation.split(":")[1])()
        out = network(torch.zeros(1, 3, 224, 416))
    assert out.shape == (1, *grid, 2048) and card.width == 2048
    assert (224 // card.stride, 416 // card.stride) == grid
    assert sum(p.numel() for p in network.parameters()) == 23_508_032
    assert card.title == "ResNet-50"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file in the authors' layout: both encoders, head, queue and the optimiser's state."""
    state = random_state()
    whole = {f"module.encoder_q.{name}": tensor for name, tensor in state.items()}
    whole |= {f"module.encoder_k.{name}": torch.zeros_like(t) for name, t in state.items()}
    for part in ("q", "k"):
        whole[f"module.encoder_{part}.fc.0.weight"] = torch.zeros(2048, 2048)
        whole[f"module.encoder_{part}.fc.2.bias"] = torch.zeros(128)
    whole |= {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1).long()}
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.03, momentum=0.9).state_dict()
    content = {"epoch": 800, "arch": "resnet50", "state_dict": whole, "optimizer": optimiser}
    path = tmp_path_factory.mktemp("moco") / "moco_v2_800ep_pretrain.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)  # as torch of 2020 wrote
    return path


def test_takes_the_query_encoder_of_the_authors_file_without_its_head(published):
    card = TEACHERS.get("resnet50")
    tensors = chosen(card, read_weights(published))
    assert set(tensors) == set(random_state())
    with torch.device("meta"):
        network = resnet.dilated()
    fill(network, tensors, published)
    for name, tensor in random_state().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_published_name_with_other_content_is_refused_by_the_printed_md5(published):
    with pytest.raises(UserError, match=r"not the published file: MD5 .*, expected a04e12f8…"):
        load_teacher("resnet50", published.parent)


def test_missing_file_tells_name_and_source(tmp_path):
    with pytest.raises(UserError, match="moco_v2_800ep_pretrain") as caught:
        load_teacher("resnet50_plain", tmp_path)
    assert "facebookresearch/moco" in str(caught.value) and "a04e12f8" in str(caught.value)


def test_is_frozen_to_the_last_statistic(tmp_path):
    save_file(random_state(), tmp_path / "moco_v2_800ep_pretrain.safetensors")
    teacher = load_teacher("resnet50_plain", tmp_path)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    nn.Sequential(teacher).train()
    assert not any(module.training for module in teacher.modules())
    once, twice = (teacher(torch.rand(2, 3, 64, 64, generator=_seeded())) for _ in range(2))
    assert torch.equal(once, twice) and not once.requires_grad
    for name, tensor in teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(p.requires_grad for p in teacher.parameters())


def _seeded():
    return torch.Generator().manual_seed(1)

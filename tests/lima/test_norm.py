"""BatchNorm in one go: against torch in float64, for any number of threads, in place or not."""

import math

import pytest
import torch
from torch import nn

from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse import norm as norm_module
from lima_bench.lima.backbones.sparse.norm import BatchNorm, normed

SHAPES = [(2, 3), (3, 1), (50, 6), (700, 130), (1000, 256), (1500, 16), (100_000, 5)]


def some(n_rows, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_rows, width, generator=generator) * 3 + 2


def some_norm(width, **settings):
    norm = BatchNorm(width, **settings)
    norm.weight.data = some(1, width, seed=1)[0]
    norm.bias.data = some(1, width, seed=2)[0]
    norm.running_mean.copy_(some(1, width, seed=3)[0])
    return norm


def double(norm):
    """torch's own, in float64."""
    twin = nn.BatchNorm1d(norm.num_features, norm.eps, norm.momentum).double()
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)


def in_double(norm, features, beside, relu):
    out = norm(features)
    out = out if beside is None else out + beside
    return out.relu() if relu else out


def far_apart(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6)).item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_values_gradients_and_statistics_are_those_of_float64(shape, relu, added):
    norm = some_norm(shape[1], momentum=0.3)
    twin = double(norm)
    features, beside, upstream = (some(*shape, seed=seed) for seed in (4, 5, 6))
    ours = [features.clone().requires_grad_(), beside.clone().requires_grad_()]
    theirs = [features.double().requires_grad_(), beside.double().requires_grad_()]
    out = normed(norm, ours[0], ours[1] if added else None, relu=relu)
    expected = in_double(twin, theirs[0], theirs[1] if added else None, relu)
    assert far_apart(out, expected) < 1e-6
    # At a ReLU's kink rounding decides what passes; leave those few gradients out of it.
    upstream[(expected.abs() < 1e-5) & (expected != 0)] = 0
    out.backward(upstream)
    expected.backward(upstream.double())
    if shape[0] > 2:  # two rows have next to no gradient: both are their mean plus or minus one
        assert far_apart(ours[0].grad, theirs[0].grad) < 2e-6
    assert far_apart(norm.weight.grad, twin.weight.grad) < 2e-6
    assert far_apart(norm.bias.grad, twin.bias.grad) < 2e-6
    assert not added or far_apart(ours[1].grad, theirs[1].grad) < 1e-6
    for name, value in norm.state_dict().items():
        assert far_apart(value.double(), twin.state_dict()[name].double()) < 1e-6


def test_statistics_survive_an_offset_a_thousand_times_the_spread():
    features = some(20_000, 16) + 3000
    norm, twin = some_norm(16), double(some_norm(16))
    assert far_apart(normed(norm, features, relu=False), twin(features.double())) < 1e-3
    variance = features.double().var(dim=0, correction=0)
    torch.testing.assert_close(norm.running_var, (0.9 + 0.1 * variance).float(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("width", [1, 16, 96])
def test_without_gradients_the_result_takes_the_place_of_what_came_in(learning, width):
    norm = some_norm(width).train(learning)
    features, beside = some(600, width), some(600, width, seed=1)
    kept_beside = beside.clone()
    expected = in_double(double(norm), features.double(), beside.double(), True)
    with torch.no_grad():
        out = normed(norm, features, beside)
    assert out.data_ptr() == features.data_ptr()
    assert far_apart(out, expected) < 1e-6
    assert torch.equal(beside, kept_beside)


def test_called_like_any_module_it_leaves_its_input_alone():
    features = some(600, 16)
    before = features.clone()
    with torch.no_grad():
        out = some_norm(16)(features)
    assert torch.equal(features, before) and not torch.equal(out, before)


@pytest.mark.parametrize("n_threads", [2, 4])
@pytest.mark.parametrize("width", [3, 16, 200])
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, n_threads, width):
    monkeypatch.setattr(norm_module, "VALUES_PER_TASK", 4000)

    def run(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            norm = some_norm(width)
            x, beside = (some(9000, width, seed=s).requires_grad_() for s in (0, 1))
            out = normed(norm, x, beside)
            out.backward(some(9000, width, seed=2))
        finally:
            torch.set_num_threads(before)
        grads = x.grad, beside.grad, norm.weight.grad, norm.bias.grad
        return [out.detach(), *grads, *norm.buffers()]

    assert all(torch.equal(a, b) for a, b in zip(run(1), run(n_threads), strict=True))


def test_evaluation_gives_torchs_values():
    norm = some_norm(6).eval()
    twin = nn.BatchNorm1d(6).eval()
    twin.load_state_dict(norm.state_dict())
    features = some(50, 6)
    with torch.no_grad():
        torch.testing.assert_close(norm(features), twin(features), rtol=1e-6, atol=1e-6)


def test_evaluation_can_be_differentiated():
    norm = some_norm(5).eval()
    features = some(30, 5).requires_grad_()
    wide = features.detach().double().requires_grad_()
    normed(norm, features).sum().backward()
    in_double(double(norm), wide, None, True).sum().backward()
    assert far_apart(features.grad, wide.grad) < 1e-6


@pytest.mark.parametrize("n_rows", [0, 1])
def test_next_to_no_rows_use_and_keep_the_running_statistics(n_rows):
    norm = some_norm(4)
    before = [buffer.clone() for buffer in norm.buffers()]
    features = some(n_rows, 4).requires_grad_()
    out = normed(norm, features, some(n_rows, 4))
    out.sum().backward()
    assert out.shape == (n_rows, 4) and norm.weight.grad.isfinite().all()
    with torch.no_grad():
        assert normed(norm, some(n_rows, 4)).shape == (n_rows, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))


def test_batches_are_counted():
    norm = some_norm(4)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            normed(norm, some(9, 4))
    normed(norm.eval(), some(9, 4))
    assert norm.num_batches_tracked == 2


def test_what_is_not_a_number_stays_visible():
    features = some(40, 3)
    features[7, 1] = math.nan
    out = normed(some_norm(3), features)
    assert out[:, 1].isnan().all() and out[:, [0, 2]].isfinite().all()


def test_gradients_that_come_in_pieces_count_whole():
    norm, joined = some_norm(4), some(40, 8, seed=3)
    features = some(40, 4).requires_grad_()
    (grad,) = torch.autograd.grad(normed(norm, features), features, joined[:, :4])
    again = torch.autograd.grad(normed(norm, features), features, joined[:, :4].contiguous())
    assert torch.equal(grad, again[0])


def test_a_second_derivative_is_refused():
    features = some(9, 3).requires_grad_()
    with pytest.raises(NotImplementedError):
        torch.autograd.grad(normed(some_norm(3), features).sum(), features, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_go_through_torch(dtype):
    norm = some_norm(4).to(dtype)
    twin = nn.BatchNorm1d(4).to(dtype)
    twin.load_state_dict(norm.state_dict())
    features, beside = some(30, 4).to(dtype), some(30, 4, seed=1).to(dtype)
    assert torch.equal(normed(norm, features, beside), (twin(features) + beside).relu())


def test_a_norm_that_torch_put_in_its_place_is_used():
    backbone = build_backbone("minkunet_tiny", 4, bn_momentum=0.1)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
    assert not any(isinstance(module, BatchNorm) for module in converted.modules())
    standing_in, ours = nn.BatchNorm1d(5), BatchNorm(5)
    features, beside = some(30, 5), some(30, 5, seed=1)
    torch.testing.assert_close(
        normed(standing_in, features.clone(), beside), normed(ours, features.clone(), beside)
    )


def test_names_and_shapes_of_the_state_are_torchs():
    ours, theirs = BatchNorm(7).state_dict(), nn.BatchNorm1d(7).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in ours.items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.items()
    }


@pytest.mark.parametrize("wrong", ["beside", "channels"])
@pytest.mark.parametrize("grad", [True, False])
def test_sizes_that_do_not_fit_are_refused(wrong, grad):
    """Compiled loops are given addresses: they would read past an end."""
    features = torch.randn(20, 4 if wrong == "beside" else 3)
    beside = torch.randn(19, 4) if wrong == "beside" else None
    with torch.set_grad_enabled(grad), pytest.raises(RuntimeError):
        normed(BatchNorm(4), features, beside)

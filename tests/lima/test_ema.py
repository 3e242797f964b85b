"""The slow copy: its closed form, its own statistics, and that no gradient or optimiser sees it."""

import io

import torch
from torch import nn

from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.ema import EmaCopy


def _network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.ReLU(), nn.Linear(4, 2))


def test_weights_after_n_steps_have_the_closed_form():
    network = _network().double()
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    copy = EmaCopy(network, momentum=0.9)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    for _ in range(7):
        copy.update(network)
    for name, now in network.named_parameters():
        wanted = 0.9**7 * start[name] + (1 - 0.9**7) * now
        torch.testing.assert_close(copy.get_buffer(name.replace(".", "/")), wanted)


def test_it_answers_with_its_own_weights_and_leaves_those_of_the_network_alone():
    network, x = _network(), torch.randn(5, 3)
    copy, twin = EmaCopy(network, momentum=1.0), _network()
    with torch.no_grad():
        network[0].weight.mul_(2.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.testing.assert_close(copy(network, x), twin(x), rtol=0, atol=0)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_its_running_statistics_are_those_of_its_own_batches():
    network, x = _network(), torch.randn(5, 3)
    copy, twin = EmaCopy(network, momentum=0.999), _network()
    network(torch.randn(9, 3) + 4)
    copy.update(network)
    for _ in range(2):
        copy(network, x)
        twin(x)
    torch.testing.assert_close(copy.get_buffer("1/running_mean"), twin[1].running_mean)
    assert int(copy.get_buffer("1/num_batches_tracked")) == 2


def test_it_has_no_parameters_and_gives_no_gradient():
    network = _network()
    copy = EmaCopy(network, momentum=0.5)
    assert not list(copy.parameters())
    assert not copy(network, torch.randn(5, 3, requires_grad=True)).requires_grad


def test_it_is_saved_and_loaded_with_its_owner():
    network, x = _network(), torch.randn(5, 3)
    copy = EmaCopy(network, momentum=0.5)
    with torch.no_grad():
        network[0].weight.mul_(3.0)
    copy.update(network)
    file = io.BytesIO()
    torch.save(copy.state_dict(), file)
    file.seek(0)
    other = EmaCopy(_network(), momentum=0.5)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(network, x), copy(network, x))

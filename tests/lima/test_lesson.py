"""How the stand-in is taught and probed, on pictures made of coloured squares."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.lesson import Lesson, LessonSettings, calibrate, corrupted, teach
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.probe import Cells, cells_of, probe
from lima_bench.lima.teachers.tiny import TinyNetwork, tiny

STILL = LessonSettings(gain=(1.0, 1.0), tint=0.0, noise=0.0, blur=0.0)


@pytest.fixture
def lesson():
    """Twelve pictures of 8 x 8 pixel squares in three colours; colour number is the material."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 3, (12, 4, 6), generator=generator)
    colours = torch.tensor([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=torch.uint8)
    fine = ids.repeat_interleave(2, 1).repeat_interleave(2, 2)
    pixels = colours[fine.repeat_interleave(4, 1).repeat_interleave(4, 2)].permute(0, 3, 1, 2)
    material = torch.nn.functional.one_hot(fine, 3).float()
    geometry = torch.stack([fine - 1.0, 1.0 - fine], -1).float()
    return Lesson(pixels.contiguous(), material, geometry, torch.ones(12, 8, 12))


def network_of(seed: int) -> TinyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return tiny()


def test_network_is_small_and_its_cells_lie_in_the_middle_of_their_pixels():
    network = network_of(0).eval()
    assert sum(p.numel() for p in network.parameters()) < 400_000
    pixels = torch.randn(1, 3, 32, 64)
    out = network(pixels)
    assert out.shape == (1, 8, 16, 64)
    assert TEACHERS.get("tiny").stride == 4
    for module in network.modules():  # symmetric in space: then flipping commutes, if cells centre
        if isinstance(module, nn.Conv2d):
            module.weight.data = (module.weight.data + module.weight.data.flip(-1)) / 2
    torch.testing.assert_close(
        network(pixels.flip(-1)), network(pixels).flip(2), rtol=1e-4, atol=1e-4
    )


def test_without_corruption_pixels_are_the_files():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    found = corrupted(pixels, STILL, torch.Generator())
    torch.testing.assert_close(found, pixels.float() / 255)


def test_corruption_changes_light_focus_and_noise_within_range():
    pixels = torch.full((64, 3, 8, 8), 100, dtype=torch.uint8)
    pixels[:, :, :, 4:] = 140
    dark = STILL.model_copy(update={"gain": (0.5, 0.5)})
    torch.testing.assert_close(
        corrupted(pixels, dark, torch.Generator()), pixels.float() / 255 * 0.5
    )
    soft = corrupted(pixels, STILL.model_copy(update={"blur": 1.0}), torch.Generator())
    assert soft[0, 0, 0].mul(255).round().tolist() == [100, 100, 100, 113, 127, 140, 140, 140]
    noisy = corrupted(pixels, LessonSettings(noise=0.5), torch.Generator().manual_seed(0))
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert noisy.std() > 0.1


def test_teaching_is_learnt_and_repeats_bit_for_bit(lesson):
    settings = LessonSettings(steps=12, batch_size=4)
    networks = [network_of(1), network_of(1)]
    heard = []
    for network in networks:
        teach(network, lesson, settings, 7, lambda done, total, m: heard.append(m["loss"]))
    assert heard[:12] == heard[12:]
    assert np.mean(heard[8:12]) < 0.7 * heard[0]
    for one, two in zip(*(n.state_dict().values() for n in networks), strict=True):
        assert torch.equal(one, two)
    assert not networks[0].training


def test_another_seed_teaches_in_another_order(lesson):
    losses = []
    for seed in (0, 1):
        teach(
            network_of(1),
            lesson,
            LessonSettings(steps=1, batch_size=4),
            seed,
            lambda done, total, m: losses.append(m["loss"]),
        )
    assert losses[0] != losses[1]


def test_calibration_gives_every_layer_its_own_statistics(lesson):
    network = network_of(2)
    calibrate(network, lesson.pixels)
    assert not network.training
    assert all(m.momentum == 0.1 for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    out = Teacher(TEACHERS.get("tiny"), network)(lesson.pixels.float() / 255).reshape(-1, 64)
    torch.testing.assert_close(out.mean(0), torch.zeros(64), atol=0.05, rtol=0)
    torch.testing.assert_close(out.std(0), torch.ones(64), atol=0.05, rtol=0)


def test_probe_separates_what_is_linear():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (600,), generator=generator)
    features = torch.randn(600, 5, generator=generator) * 0.1
    features[torch.arange(600), labels] += 3
    cells = Cells(features, labels)
    score = probe(cells, cells, 4, n_cells=300, seed=0)
    assert score.miou == score.accuracy == 1.0
    assert math.isnan(score.iou[3])


def test_probe_scores_by_hand():
    """Without information everything is called class 0: 1 of 4 wrong, IoU 3/4 and 0."""
    train = Cells(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    score = probe(train, train, 2, n_cells=4, seed=0)
    assert score.iou == (0.75, 0.0)
    assert (score.miou, score.accuracy) == (0.375, 0.75)


def test_cells_carry_the_class_of_their_middle():
    ids = np.full((16, 16), 255)
    ids[2, 2], ids[6, 2] = 3, 5
    teacher = Teacher(TEACHERS.get("tiny"), network_of(0))
    pixels = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    cells = cells_of(teacher, [(pixels, ids)])
    grid = teacher(pixels[None].float() / 255)[0]
    assert cells.labels.tolist() == [3, 5]
    assert torch.equal(cells.features, torch.stack([grid[0, 0], grid[1, 0]]))

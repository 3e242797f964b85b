"""Methods away from the CPU, and in half precision: what a GPU would complain of, without one."""

from __future__ import annotations

import contextlib

import pytest
import torch

from lima_bench.lima.api import load_method
from lima_bench.lima.methods.cards.cleverdistiller import CleverdistillerSettings
from lima_bench.lima.methods.cards.gcc3d import Gcc3dSettings
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.cards.pointcontrast import PointcontrastSettings
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.cards.superflow import SuperflowSettings
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.occupancy import queries_of
from lima_bench.lima.pooling import superpixel_means
from lima_bench.lima.testing import _Trial
from tests.lima import company
from tests.lima.elsewhere import Elsewhere, elsewhere, moved

LEARNING = [n for n in METHODS.names() if METHODS.get(n).is_built and METHODS.get(n).learns]
CONTRASTS = [
    "seal", "superflow", "gcc3d", "pointcontrast", "slidr", "ppkt", "st_slidr", "csc", "tricc",
]  # fmt: skip
VARIANTS = [
    ("lima", LimaSettings(align="voxel", head="mlp", targets="voxel")),
    ("lima", LimaSettings(align="reproject", occlusion="zbuffer", pool="softmax_sim")),
    ("lima", LimaSettings(access="random", window="centred", pool="max", cva="nearest_center")),
    ("lima", LimaSettings(partner="same", pool="sim_gate", cva="mean_of_normalised")),
    ("lima", LimaSettings(cva="max", pool="decay", mix_only=True, reduce="per_scan")),
    ("scalr", ScalrSettings(cameras="one", student_input="visible", head="mlp", head_width=16)),
    ("superflow", SuperflowSettings(d2s="cosine", cameras=1)),
    ("cleverdistiller", CleverdistillerSettings(occupancy="voxel", head_norm="none")),
    ("pointcontrast", PointcontrastSettings(loss="hardest")),
    ("gcc3d", Gcc3dSettings(prototypes=4, refreshes=3, harmonise_from=0.3)),
]


def _changes(settings):
    return str(settings.model_dump(exclude_defaults=True)) if settings else "default"


def _trial(name, settings):
    card = METHODS.get(name)
    return _Trial(load_method(card), settings or card.settings(), card.order)


def _run(method, batches, half=None):
    """Loss of every step, and the gradients of all together; forward in half precision, if any."""
    found = []
    for step, batch in enumerate(batches):
        torch.manual_seed(step)
        with torch.autocast("cpu", dtype=half) if half else contextlib.nullcontext():
            loss = method(batch).total
        loss.backward()
        found.append(float(loss.detach()))
    return found, {name: p.grad for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("name", "settings"),
    [(n, None) for n in LEARNING] + VARIANTS,
    ids=lambda one: one if isinstance(one, str) else _changes(one),
)
def test_everything_lies_where_the_batch_lies(name, settings, monkeypatch):
    trial = _trial(name, settings)
    expected, gradients = _run(trial.build(), trial.steps())
    away = moved(trial.build())
    with elsewhere(monkeypatch):
        found, theirs = _run(away, map(moved, trial.steps()))
    assert found == pytest.approx(expected, rel=1e-5)
    assert theirs.keys() == gradients.keys()
    for weight, gradient in gradients.items():
        assert isinstance(theirs[weight], Elsewhere)
        # Rounding may carry a unit over the kink of a ReLU: no element is promised, the whole is.
        apart = torch.linalg.vector_norm(theirs[weight].here - gradient)
        assert apart <= 1e-2 * torch.linalg.vector_norm(gradient) + 1e-4, weight


def test_what_lies_elsewhere_is_noticed(monkeypatch):
    here, there = torch.ones(3), moved(torch.ones(3))
    with elsewhere(monkeypatch):
        assert (there + there.new_tensor(1.0)).tolist() == [2.0] * 3
        assert there[torch.tensor([0, 2])].cpu().tolist() == [1.0] * 2
        assert torch.zeros(2, device=there.device).tolist() == [0.0] * 2
        for wrong in (lambda: there + here, lambda: here[there.long()], there.numpy):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()


@pytest.mark.parametrize("name", CONTRASTS)
def test_contrasts_are_not_rounded_to_half_precision(name):
    """Embeddings may be, their products over a small temperature may not."""
    trial = _trial(name, None)
    expected, _ = _run(trial.build(), trial.steps())
    found, _ = _run(trial.build(), trial.steps(), torch.float16)
    assert found == pytest.approx(expected, rel=3e-4)


def test_large_segments_do_not_overflow_half_precision():
    """A hundred thousand pixels that all look alike: their sum is beyond float16."""
    grids = torch.tensor([1.0, 0.0]).expand(1, 4, 8, 2)
    with torch.autocast("cpu", dtype=torch.float16):
        means = superpixel_means(grids, torch.zeros(1, 224, 448, dtype=torch.int64), 1)
    torch.testing.assert_close(means, torch.tensor([[[1.0, 0.0]]]))


def test_queries_stay_where_they_were_made():
    """A tenth of a metre decides what is full: coordinates are never rounded to half precision."""
    batch = company.batch_of("cleverdistiller")
    size = {"depth_m": 0.1, "voxel_m": 0.4}
    found = []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            found.append(queries_of(batch, "sight", 30, **size).xyz)
    assert torch.equal(*found)

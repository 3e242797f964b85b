"""The end of the path: losses and the confusion matrix, against their usual forms.

Offers `rows`. Lovasz-softmax is compared with a loop over classes that sorts each one's errors with
torch; the confusion matrix with the nuScenes devkit's; what GCC-3D wants of places that lie near
each other with the formula as it stands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.rows import Row, interleave
from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.lovasz import lovasz_softmax
from lima_bench.downstream.scores.miou import ConfusionMatrix
from lima_bench.lima.methods.cards.gcc3d import Gcc3dSettings
from lima_bench.lima.methods.gcc3d import closeness

N_CLASSES = 16
POINTS, QUICK_POINTS = 30_000, 1_000
"""Of one nuScenes keyframe."""
DEVKIT_IGNORE = 0
"""The devkit counts from 1 and ignores class 0."""
PLACES, QUICK_PLACES = 2048, 128
STREET_M = (76.0, 76.0, 3.0)


def rows(quick: bool) -> list[Row]:
    """Loss with its gradient; counting."""
    n_points, rounds = (QUICK_POINTS, 3) if quick else (POINTS, 9)
    places = _closeness_rows(QUICK_PLACES if quick else PLACES, rounds)
    return [*_lovasz_rows(n_points, rounds), *_confusion_rows(n_points, rounds), *places]


def _lovasz_rows(n_points: int, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    probabilities = torch.randn(n_points, N_CLASSES).softmax(1).requires_grad_()
    truth = torch.randint(0, N_CLASSES, (n_points,))

    def learn(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return torch.autograd.grad(loss(probabilities, truth), probabilities)[0]

    error = (learn(lovasz_softmax) - learn(_by_class)).abs().max() * n_points
    assert error < 1e-2, error
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: learn(lovasz_softmax),
        "class by class": lambda: learn(_by_class),
    }
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.1f} ms with gradient; {n_points} points, "
        f"{N_CLASSES} classes"
    )
    ratio = timings.ratio("class by class", "ours")
    return [Row.of("scores/lovasz over class by class", ratio, "x", note=note)]


def _by_class(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Berman, Triki and Blaschko (CVPR 2018), one class after the other."""
    losses = []
    for number in range(probabilities.shape[1]):
        on = (truth == number).float()
        if on.sum() == 0:
            continue
        errors, order = (on - probabilities[:, number]).abs().sort(descending=True, stable=True)
        on = on[order]
        kept, union = on.sum() - on.cumsum(0), on.sum() + (1 - on).cumsum(0)
        jaccard = 1 - kept / union
        steps = torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))
        losses.append(errors @ steps)
    return torch.stack(losses).mean()


def _confusion_rows(n_points: int, rounds: int) -> list[Row]:
    from nuscenes.eval.lidarseg.utils import ConfusionMatrix as Devkit

    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, N_CLASSES, (2, n_points))
    truth[rng.random(n_points) < 0.1] = IGNORE
    shifted = np.where(truth == IGNORE, DEVKIT_IGNORE, truth + 1)
    ours, theirs = ConfusionMatrix(N_CLASSES), Devkit(N_CLASSES + 1, DEVKIT_IGNORE)
    ours.add(truth, said)
    theirs.update(shifted, said + 1)
    assert (theirs.global_cm[1:, 1:] == ours.counts).all()
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.add(truth, said),
        "devkit": lambda: theirs.update(shifted, said + 1),
    }
    timings = interleave(work, rounds=rounds)
    note = f"{timings.sample('ours', 1e3).median:.2f} ms for {n_points} points"
    ratio = timings.ratio("devkit", "ours")
    return [Row.of("scores/confusion matrix over devkit", ratio, "x", note=note)]


def _closeness_rows(n_places: int, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    xyz, scan = torch.rand(n_places, 3) * torch.tensor(STREET_M), torch.arange(n_places) % 2
    sigma_m = Gcc3dSettings().sigma_m

    def plain() -> Tensor:
        squared = torch.cdist(xyz, xyz, compute_mode="donot_use_mm_for_euclid_dist").square()
        weight = torch.exp(-squared / (2 * sigma_m**2)) * (scan[:, None] == scan)
        shares: Tensor = weight / weight.sum(1, keepdim=True)
        return shares

    assert torch.allclose(closeness(xyz, scan, sigma_m), plain(), rtol=0, atol=1e-25)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: closeness(xyz, scan, sigma_m),
        "plain": plain,
    }
    timings = interleave(work, rounds=rounds)
    note = f"{timings.sample('ours', 1e3).median:.1f} ms for {n_places} places"
    ratio = timings.ratio("plain", "ours")
    return [Row.of("scores/closeness over its formula", ratio, "x", note=note)]

"""What the tests of several methods do alike: small batches, odd batches, runs cut in two."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from lima_bench.lima.batch import Batch, Moment
from lima_bench.lima.synthetic import SyntheticScan, random_drive, without_pairs
from lima_bench.lima.synthetic_batch import FIRST, collate

Make = Callable[[], nn.Module]


def scans(names: str = "ab", points: int = 40) -> list[SyntheticScan]:
    """One scan of each of some recordings."""
    return [random_drive(name, frames=1, points=points)[0] for name in names]


def batch_of(chosen: Sequence[SyntheticScan] | None = None, moment: Moment = FIRST) -> Batch:
    """In float64."""
    return collate(chosen or scans(), dtype=torch.float64, moment=moment)


def with_ids(batch: Batch, ids: torch.Tensor) -> Batch:
    """The same images cut in another way."""
    return replace(batch, images=replace(batch.images, superpixels=ids))


def embedded(method: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """By the book: unit embedding of every row, and of every pixel of the dense maps."""
    points = nn.functional.normalize(method.point_head(method.student(batch.voxels)), dim=1)
    grids = method.pixel_head(batch.images.grids).permute(0, 3, 1, 2)
    dense = nn.functional.interpolate(grids, batch.images.size, mode="bilinear", align_corners=True)
    return points, nn.functional.normalize(dense, dim=1)


def groups(batch: Batch) -> dict[tuple[int, int], list[int]]:
    """By the book: (image, segment) to the rows of its pairs, in order."""
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    found: dict[tuple[int, int], list[int]] = {}
    pairs = batch.pairs
    for point, image, row, col in zip(
        *(getattr(pairs, name).tolist() for name in ("point", "image", "row", "col")), strict=True
    ):
        segment = int(batch.images.superpixels[image, row, col])
        if segment >= 0 and point in row_of:
            found.setdefault((image, segment), []).append(row_of[point])
    return dict(sorted(found.items()))


def means(method: nn.Module, batch: Batch) -> tuple[list[tuple[int, int]], torch.Tensor, ...]:
    """By the book: the groups with points, mean of their points, mean of their pixels."""
    points, dense = embedded(method, batch)
    found = groups(batch)
    k, q = [], []
    for (image, segment), rows in found.items():
        inside = dense[image][:, batch.images.superpixels[image] == segment]
        k.append(points[rows].sum(0) / (len(rows) + 1e-6))
        q.append(inside.sum(1) / (inside.shape[1] + 1e-6))
    return list(found), torch.stack(k), torch.stack(q)


def same_gradients(loss: torch.Tensor, expected: torch.Tensor, method: nn.Module) -> None:
    """Value and every gradient agree."""
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    weights = [parameter for parameter in method.parameters() if parameter.requires_grad]
    found, wanted = (
        torch.autograd.grad(one, weights, allow_unused=True) for one in (loss, expected)
    )
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-11)


def reached(method: nn.Module, batch: Batch) -> set[str]:
    """Parameters that one step moves, after checking that it moves nothing else."""
    before = {name: value.detach().clone() for name, value in method.named_parameters()}
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(batch).total.backward()
    optimiser.step()
    return {
        name for name, value in method.named_parameters() if not torch.equal(value, before[name])
    }


def silent_without_pairs(make: Make, batch: Batch) -> None:
    """No pair, no loss: the total is 0 and so is every gradient."""
    method = make()
    loss = method(batch).total
    loss.backward()
    assert loss.item() == 0
    for name, parameter in method.named_parameters():
        if parameter.requires_grad and parameter.grad is not None:
            assert not parameter.grad.any(), name


def odd_batches() -> dict[str, Batch]:
    """A scan that no camera overlaps, superpixels that are all empty, and a single scan."""
    first, second = scans()
    plain = batch_of()
    return {
        "one scan unseen": batch_of([without_pairs(first), second]),
        "no segment at all": with_ids(plain, torch.full_like(plain.images.superpixels, -1)),
        "one scan": batch_of([first]),
    }


def cut_in_two(make: Make, steps: Sequence[Batch]) -> tuple[list[float], list[float]]:
    """Losses of a run, and of one that was saved after half of it and taken up by another."""
    whole = _run(make(), steps)
    half = len(steps) // 2
    first = make()
    losses = _run(first, steps[:half])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make()
    for parameter in second.parameters():
        parameter.data.add_(1)
    second.load_state_dict(torch.load(file, weights_only=True))
    return whole, losses + _run(second, steps[half:])


def _run(method: nn.Module, steps: Sequence[Batch]) -> list[float]:
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
    found = []
    for batch in steps:
        torch.manual_seed(batch.moment.step)
        loss = method(batch).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found

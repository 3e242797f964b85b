"""TriCC against its definition written out voxel by voxel, in float64."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batch import Moment
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.company import company_of
from lima_bench.lima.methods.cards.tricc import TriccSettings
from lima_bench.lima.methods.tricc import Tricc
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.second_looks import second_looks
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import (
    N_SUPERPIXELS,
    GridTeacher,
    TinyStudent,
    accompanied,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import View, ViewPlan

HALF_WARM = Moment(step=5, steps_per_epoch=10, total_steps=100)


def _method(**settings):
    torch.manual_seed(0)
    return Tricc(TriccSettings(width=6, **settings), GridTeacher(), TinyStudent()).double()


def _batch(names="ab", index=0, moment=HALF_WARM, change=lambda scan: scan, points=24):
    """Frames with their neighbours and second looks whose points come in another order."""
    drives = [random_drive(name, frames=3, points=points) for name in names]
    scans = [change(drive[index]) for drive in drives]
    placed = accompanied(scans, drives, company_of(Tricc, TriccSettings()))
    plan = second_looks([one.input for one in placed])
    rng = np.random.default_rng(1)
    again = [View(((n, rng.permutation(len(scan.xyz))),)) for n, scan in enumerate(scans)]
    views = (*plan.views[: len(placed)], *again)
    return collate(placed, ViewPlan(views, plan.cameras), dtype=torch.float64, moment=moment)


def _head(head, x):
    """By the book, with the statistics of `x`; a single row is normalised by running ones."""
    linear, norm, _, last = head
    x = x @ linear.weight.T
    mean, variance = x.mean(0), x.var(0, unbiased=False)
    x = (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    return F.normalize(x.clamp(min=0) @ last.weight.T + last.bias, dim=1)


def _tokens(batch, n_frames):
    """Per frame: [(row in P, row in P2)], and the token of each row of P."""
    view, source = batch.view.tolist(), batch.source.tolist()
    inverse = batch.voxels.inverse.tolist()
    again = {source[r]: r for r in range(len(view)) if view[r] >= batch.n_scan_views}
    frames, token_of_row = [[] for _ in range(n_frames)], {}
    by_twin, by_voxel = {}, {}
    for row in range(len(view)):
        if view[row] >= n_frames:
            break
        voxel = inverse[row]
        if voxel not in by_voxel:
            twin = again[source[row]]
            if inverse[twin] not in by_twin:
                by_twin[inverse[twin]] = (view[row], len(frames[view[row]]))
                frames[view[row]].append((row, twin))
            by_voxel[voxel] = by_twin[inverse[twin]]
        token_of_row[row] = by_voxel[voxel]
    return frames, token_of_row


def _journey_losses(start, through, end):
    there = (start @ through.T / 0.1).softmax(1)
    back = (through @ end.T / 0.1).softmax(1)
    return -((there @ back).diagonal() + 1e-20).log()


def _pixel(maps, image, row, col):
    return F.normalize(maps[image, :, row, col], dim=0)


def _dense(head, batch):
    maps = head(batch.images.grids).permute(0, 3, 1, 2)
    return F.interpolate(maps, batch.images.size, mode="bilinear", align_corners=True)


def _pairs(batch, token_of_row):
    """(token, image, row, col) of every pair, in order."""
    row_of = {int(batch.source[row]): row for row in token_of_row}
    pairs = batch.pairs
    for n, point in enumerate(pairs.point.tolist()):
        place = int(pairs.image[n]), int(pairs.row[n]), int(pairs.col[n])
        yield token_of_row[row_of[point]], *place


def _written_out(method, batch):
    """All three losses, the slow copy taken for a copy that has just been made."""
    n = batch.n_anchors
    frames, token_of_row = _tokens(batch, n)
    voxels = batch.voxels
    x = method.student.net(voxels.features)
    c, m = (_head(head, x)[voxels.inverse] for head in (method.heads.contrast, method.heads.match))
    next_cells = [torch.nonzero(voxels.coords[:, 0] == n + a).squeeze(1) for a in range(n)]
    slow = _head(method.heads.match, x[torch.cat(next_cells)]).detach()
    slow = slow.split([len(cells) for cells in next_cells])
    first = [voxels.first[cells] for cells in next_cells]
    cycle, triple, matches = [], [], []
    maps = _dense(method.cycle_pixels, batch)
    pairs = list(_pairs(batch, token_of_row))
    for a in range(n):
        rows, twins = (torch.tensor(list(part)) for part in zip(*frames[a], strict=True))
        cycle.append(_journey_losses(m[rows], slow[a], m[twins]))
        ours = [pair for pair in pairs if pair[0][0] == a]
        if ours:
            start = torch.stack([_pixel(maps, *place) for _, *place in ours])
            end = m[rows][[token for (_, token), *_ in ours]]
            triple.append(_journey_losses(start, m[first[a]], end))
        products = m[rows] @ slow[a].T
        for token in range(len(rows)):
            best = int(products[token].argmax())
            matches.append((float(products[token, best].detach()), (a, token), best))
    matches.sort(key=lambda match: -match[0])
    lent = {
        token: c[first[token[0]][best]] for _, token, best in matches[: int(0.2 * len(matches))]
    }
    k, q = _pooled(method, batch, pairs, {t: c[frames[t[0]][t[1]][0]] for t in _all(frames)}, lent)
    nce = F.cross_entropy(k @ q.T / 0.07, torch.arange(len(k)))
    return nce, torch.cat(cycle).mean(), torch.cat(triple).mean()


def _all(frames):
    return [(a, token) for a, tokens in enumerate(frames) for token in range(len(tokens))]


def _pooled(method, batch, pairs, own, lent, weight=0.5):
    """Sums of the superpixels brought to unit length; or means, taken as they are."""
    k, q, renormalise = [], [], method.settings.renormalise_pool
    dense = F.normalize(_dense(method.contrast_pixels, batch), dim=1)
    for image in range(batch.images.n_images):
        ids = batch.images.superpixels[image]
        for segment in range(N_SUPERPIXELS):
            total, n_pairs = torch.zeros(6, dtype=torch.float64), 1e-6
            for token, i, row, col in pairs:
                if i == image and ids[row, col] == segment:
                    total = total + own[token] + weight * lent.get(token, 0 * total)
                    n_pairs += 1
            inside = dense[image][:, ids == segment]
            k.append(F.normalize(total, dim=0) if renormalise else total / n_pairs)
            sums, n_pixels = inside.sum(1), inside.shape[1] + 1e-6
            q.append(F.normalize(sums, dim=0) if renormalise else sums / n_pixels)
    return torch.stack(k), torch.stack(q)


@pytest.mark.parametrize(
    ("term", "settings"),
    [("contrast", {}), ("contrast", {"renormalise_pool": False}), ("cycle", {}), ("triple", {})],
)
def test_value_and_gradients_equal_the_definition(term, settings):
    method, twin, batch = _method(**settings), _method(**settings), _batch()
    found = method(batch).terms[term]
    expected = _written_out(twin, batch)  # whose slow copy has made no step
    wanted = dict(zip(("contrast", "cycle", "triple"), expected, strict=True))[term]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)
    ours, theirs = (
        torch.autograd.grad(
            loss, [p for p in one.parameters() if p.requires_grad], allow_unused=True
        )
        for one, loss in ((method, found), (twin, wanted))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None or not one.any()) == (other is None or not other.any())
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-10)


def test_collisions_happen_in_these_batches():
    frames, _ = _tokens(_batch(), 2)
    assert all(0 < len(tokens) < 12 for tokens in frames)


def test_terms_reach_the_heads_that_they_are_about():
    reached = {}
    for term in ("contrast", "cycle", "triple"):
        method = _method()
        method(_batch()).terms[term].backward()
        reached[term] = {
            name.split(".")[1] if name.startswith("heads") else name.split(".")[0]
            for name, p in method.named_parameters()
            if p.grad is not None and p.grad.any()
        }
    assert reached == {
        "contrast": {"student", "contrast", "contrast_pixels"},
        "cycle": {"student", "match"},
        "triple": {"student", "match", "cycle_pixels"},
    }


def test_a_step_leaves_the_teacher_alone_and_the_slow_copy_out_of_the_optimiser():
    method = _method(momentum=0.9)
    teacher = method.teacher.gain.clone()
    slow = {name: value.clone() for name, value in method.heads.slow.named_buffers()}
    parameters = [p for p in method.parameters() if p.requires_grad]
    assert not any(name.startswith("heads.slow") for name, _ in method.named_parameters())
    optimiser = torch.optim.SGD(parameters, lr=0.1)
    method(_batch()).total.backward()
    optimiser.step()
    assert torch.equal(method.teacher.gain, teacher)
    weight = "student/net/0/weight"
    # The copy started equal, so its first step went nowhere; the second follows the optimiser.
    torch.testing.assert_close(method.heads.slow.get_buffer(weight), slow[weight])
    method(_batch())
    moved = 0.9 * slow[weight] + 0.1 * method.student.net[0].weight
    torch.testing.assert_close(method.heads.slow.get_buffer(weight), moved)


def test_what_the_next_scan_adds_grows_from_nothing():
    losses = [
        _method()(_batch(moment=Moment(step, 10, 100))).terms["contrast"].item()
        for step in (0, 5, 10, 50)
    ]
    alone = _method(matched=0.0)(_batch(moment=Moment(50, 10, 100))).terms["contrast"].item()
    assert losses[0] == alone
    assert len({losses[0], losses[1], losses[2]}) == 3
    assert losses[2] == losses[3]


def test_drawn_rows_alone_are_the_ends_of_walks(monkeypatch):
    method, batch = _method(walks=3), _batch(names="a")
    chosen = torch.tensor([4, 0, 2])
    monkeypatch.setattr(torch, "randperm", lambda n: torch.cat([chosen, torch.arange(n)]))
    seen = method.heads(method.student, batch)
    found = method._cycle(seen)
    wanted = _journey_losses(seen.match[chosen], seen.match_slow, seen.match_again[chosen]).mean()
    torch.testing.assert_close(found, wanted)
    assert found < _method()(batch).terms["cycle"]  # three ends are easier to tell apart than all


def test_empty_superpixels_are_candidates_unless_masked():
    batch = _batch(points=4)
    kept, masked = (
        _method(mask_empty=mask)(batch).terms["contrast"].item() for mask in (False, True)
    )
    pairs, ids = batch.pairs, batch.images.superpixels
    segment = ids[pairs.image, pairs.row, pairs.col]
    n_filled = len(set(zip(pairs.image.tolist(), segment.tolist(), strict=True)))
    n_all = N_SUPERPIXELS * len(ids)
    assert n_filled < n_all
    # An empty one as anchor adds log(n) and nothing else; as candidate it makes others harder.
    of_filled = (kept * n_all - (n_all - n_filled) * np.log(n_all)) / n_filled
    assert of_filled > masked


@pytest.mark.parametrize("odd", ["unseen", "no segments", "one scan", "all unseen"])
def test_odd_batches_are_survived(odd):
    batch = _batch("a" if odd == "one scan" else "ab")
    if odd == "unseen":
        batch = _batch(change=lambda scan: without_pairs(scan) if scan.sequence == "a" else scan)
    if odd == "all unseen":
        batch = _batch(change=without_pairs)
    if odd == "no segments":
        nowhere = torch.full_like(batch.images.superpixels, -1)
        batch = replace(batch, images=replace(batch.images, superpixels=nowhere))
    method = _method()
    loss = method(batch)
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
    if odd in ("no segments", "all unseen"):
        # Every row is 0 and every candidate as good as another.
        slots = N_SUPERPIXELS * batch.images.n_images
        assert loss.terms["contrast"].item() == pytest.approx(np.log(slots))
    if odd == "all unseen":
        assert loss.terms["triple"].item() == 0


def test_same_seed_same_loss():
    assert _method()(_batch()).total.item() == _method()(_batch()).total.item()


def test_a_run_that_was_saved_goes_on_as_if_it_had_not_been():
    steps = [_batch(index=index % 3, moment=Moment(index, 10, 20)) for index in range(4)]
    whole = _run(_method(momentum=0.9), steps)
    first = _method(momentum=0.9)
    losses = _run(first, steps[:2])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    second = Tricc(TriccSettings(width=6, momentum=0.9), GridTeacher(), TinyStudent()).double()
    second.load_state_dict(torch.load(file, weights_only=True))
    assert losses + _run(second, steps[2:]) == whole


def _run(method, steps):
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
    found = []
    for batch in steps:
        loss = method(batch).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    return found


def test_a_birds_eye_student_learns_by_the_same_code():
    batch = _batch(points=60)
    voxels = batch.voxels
    bounds = GridBounds(lower=(-12.8, -12.8, -5.0), upper=(12.8, 12.8, 3.0))
    settings = VoxelSettings(
        kind="cartesian", size=(0.2, 0.2, 0.2), rounding="floor", bounds=bounds
    )
    xyz = voxels.xyz.float().numpy()
    features = np.column_stack([xyz, np.ones(len(xyz), dtype=np.float32)])
    bounded = voxelise_bounded(
        xyz, features, batch.view.numpy(), settings, n_clouds=voxels.n_clouds
    )
    grids = batch.images.grids.float()
    batch = replace(batch, voxels=bounded, images=replace(batch.images, grids=grids))
    assert (bounded.inverse < 0).any()  # some points lie outside
    torch.manual_seed(0)
    student = Student(build_backbone("voxelnet", 4, bn_momentum=0.05))
    method = Tricc(TriccSettings(width=6), GridTeacher(), student)
    loss = method(batch)
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad is not None and p.grad.any() for p in student.parameters())

"""Groups of pairs, pixels and cells; what has no segment takes no part."""

import torch
import torch.nn.functional as F

from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.methods.slidr import Slidr
from lima_bench.lima.pooling import superpixel_means
from lima_bench.lima.segments import Segments
from lima_bench.lima.synthetic import GridTeacher, TinyStudent
from tests.lima import trials


def _holes(batch, share=0.4):
    generator = torch.Generator().manual_seed(1)
    ids = batch.images.superpixels
    hole = torch.rand(ids.shape, generator=generator) < share
    return trials.with_ids(batch, ids.masked_fill(hole, -1))


def test_pairs_keep_their_order_and_lose_those_without_a_segment():
    batch = _holes(trials.batch_of())
    segments = Segments.of(batch)
    found = segments.pairs(batch)
    pairs, ids = batch.pairs, batch.images.superpixels
    at = ids[pairs.image, pairs.row, pairs.col]
    assert found.pair.tolist() == torch.nonzero(at >= 0).flatten().tolist()
    assert torch.equal(found.group, (pairs.image * segments.n_ids + at)[found.pair])
    assert torch.equal(batch.source[found.row], pairs.point[found.pair])


def test_pixel_means_leave_holes_out():
    batch = _holes(trials.batch_of())
    grids, ids = batch.images.grids, batch.images.superpixels
    dense = F.interpolate(
        grids.permute(0, 3, 1, 2), ids.shape[1:], mode="bilinear", align_corners=True
    )
    dense = F.normalize(dense, dim=1).permute(0, 2, 3, 1)
    found = superpixel_means(grids, ids, 6)
    for image in range(len(ids)):
        for number in range(6):
            inside = dense[image][ids[image] == number]
            mean = inside.sum(0) / (len(inside) + 1e-6)
            torch.testing.assert_close(found[image, number], mean, rtol=1e-9, atol=1e-12)


def test_cell_means_take_the_id_of_a_cells_first_pixel():
    ids = torch.full((2, 4, 6), -1)
    ids[0, 0, 0], ids[0, 2, 3], ids[1, 2, 0], ids[1, 1, 1] = 2, 2, 0, 1
    grids = torch.arange(8.0, dtype=torch.float64).view(2, 2, 2, 1)
    found = Segments(ids, 3).cell_means(grids).view(2, 3)
    expected = torch.tensor([[0, 0, 1.5], [6.0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_slidr_with_holes_equals_its_definition():
    torch.manual_seed(0)
    method = Slidr(SlidrSettings(width=6), GridTeacher(), TinyStudent()).double()
    batch = _holes(trials.batch_of())
    _, k, q = trials.means(method, batch)
    logits = k @ q.T / 0.07
    expected = -(logits.diagonal() - logits.logsumexp(1)).mean()
    trials.same_gradients(method(batch).total, expected, method)


def test_slidr_survives_images_without_any_segment():
    def make():
        return Slidr(SlidrSettings(width=6), GridTeacher(), TinyStudent()).double()

    trials.silent_without_pairs(make, trials.odd_batches()["no segment at all"])

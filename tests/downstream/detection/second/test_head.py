"""SECOND's head: its size, its first say, what it finds, and that it can learn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes import reader
from lima_bench.downstream.detection.bev import BevNetwork
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.code import CODE, decode
from lima_bench.downstream.detection.second.head import SecondHead
from lima_bench.downstream.detection.second.settings import SecondRecipe
from lima_bench.downstream.detection.settings import BevSettings
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.recipes import Length
from tests.downstream.detection.second.second_case import (
    FACTS,
    GRID,
    GROUPS,
    LABEL,
    box,
    head_of,
    random_maps,
    random_truth,
    recipe,
    truth,
)

NO_NMS = {"iou": 1.0, "before": 1000, "after": 83}
"""No box goes."""


def _published() -> SecondHead:
    facts = Card.beside(reader.__file__).detection
    assert facts is not None
    grid = MapGrid((-51.2, -51.2), (0.8, 0.8), (128, 128))
    return SecondHead(512, SecondRecipe(length=Length(epochs=20)), facts, grid)


def _size(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def test_parameters_of_the_published_head_and_detectors() -> None:
    head, bev = _published(), BevNetwork(256, BevSettings())
    assert (_size(head), _size(head.shared)) == (1_762_924, 295_040)
    plain, residual = (
        build_backbone(n, 5, bn_momentum=0.1) for n in ("voxelnet", "voxelnet_residual")
    )
    assert _size(plain, bev, head) == 7_051_996
    # Published are 9,035,004, with a bias in each convolution of OpenPCDet's residual blocks.
    assert _size(residual, bev, head) == 9_035_004 - 960
    channels = [group["classes"][-1].out_channels for group in head.branches]
    assert channels == [2, 8, 8, 2, 8, 8]
    norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (norms[0].eps, norms[0].momentum) == (1e-3, 0.01)
    assert {(m.eps, m.momentum) for m in norms[1:]} == {(1e-5, 0.1)}


def test_anchors_are_no_weights() -> None:
    assert not any("anchor" in name for name in head_of().state_dict())


def test_first_scores_are_the_prior_and_first_codes_come_from_kaiming() -> None:
    head = head_of(shared=64, branch=64)
    for group in head.branches:
        prior = 1 / (1 + math.exp(-group["classes"][-1].bias[0].item()))
        assert prior == pytest.approx(0.01)
        for name in CODE:
            first, last = group[name][0].weight, group[name][-1].weight
            assert not group[name][-1].bias.any()
            for weight in (first, last):
                wanted = math.sqrt(2 / (9 * weight.shape[0]))
                assert weight.std().item() == pytest.approx(wanted, rel=0.1)


def test_an_untaught_head_finds_nothing() -> None:
    head = head_of().eval()
    found = head.decode(head(torch.randn(2, 6, *GRID.shape)))
    assert [one.boxes.shape for one in found] == [(0, 9)] * 2
    assert [one.label.dtype for one in found] == [torch.int64] * 2


def _silent(head: SecondHead, n_frames: int = 1) -> tuple[dict[str, Tensor], ...]:
    maps = random_maps(head, n_frames)
    for one in maps:
        one["classes"] = torch.full_like(one["classes"], -9)
    return maps


def test_a_score_becomes_the_box_of_its_anchor() -> None:
    head = head_of()
    maps = _silent(head, 2)
    # In the second group (walker, cone): the cone's turned anchor says that it is a walker.
    maps[1]["classes"][1, 3 * 2 + 0, 4, 7] = 1.0
    anchors = head._anchors_on(torch.device("cpu"))
    number = ((6 + 2 + 3) * 12 + 4) * 15 + 7  # slot 5 of frame 1
    code = torch.cat([maps[1][k][1, 3 * n : 4 * n, 4, 7] for k, n in CODE.items()])[None]
    wanted = decode(code.detach(), anchors.boxes(torch.tensor([number]))).float()
    nothing, found = head.decode(maps)
    assert not len(nothing.score)
    torch.testing.assert_close(found.boxes, wanted)
    assert found.label.tolist() == [LABEL["walker"]]
    assert found.score.tolist() == pytest.approx([1 / (1 + math.exp(-1))])
    assert found.boxes.dtype == found.score.dtype == torch.float32


def test_mixed_branches_are_cut_by_anchor_after_they_were_joined() -> None:
    head = head_of(branches="mixed")
    maps = _silent(head)
    maps[0]["classes"][0, 1, 4, 7] = 1.0  # the turned car
    joined = torch.cat([maps[0][name] for name in CODE], 1)[0, :, 4, 7]
    anchor = head._anchors_on(torch.device("cpu")).boxes(torch.tensor([(12 + 4) * 15 + 7]))
    wanted = decode(joined[None, 10:20].detach(), anchor).float()
    torch.testing.assert_close(head.decode(maps)[0].boxes, wanted)


def test_boxes_are_thinned_per_class_and_come_best_first() -> None:
    head = head_of()
    maps = _silent(head)
    for one in maps:
        for name in CODE:
            one[name] = torch.zeros_like(one[name])
    maps[0]["classes"][0, 0, 6, 7:9] = torch.tensor([1.0, 2.0])  # two cars, 0.86 m apart
    maps[1]["classes"][0, 0, 6, 7] = 1.5  # a walker at the same place
    found = head.decode(maps)[0]
    assert found.label.tolist() == [LABEL["car"], LABEL["walker"]]
    assert found.score.tolist() == sorted(found.score.tolist(), reverse=True)


def test_no_more_boxes_than_asked_for() -> None:
    head = head_of(nms=NO_NMS | {"before": 50, "after": 20})
    found = head.decode(random_maps(head, 1))[0]
    assert [int((found.label == k).sum()) for k in range(3)] == [20, 20, 20]
    head.most_boxes = 33
    best = head.decode(random_maps(head, 1))[0]
    assert torch.equal(best.score, found.score[:33]) and torch.equal(best.boxes, found.boxes[:33])
    few = head_of(nms=NO_NMS | {"before": 5, "after": 20}).decode(random_maps(head, 1))[0]
    for label in range(3):
        assert torch.equal(few.score[few.label == label], found.score[found.label == label][:5])


def test_scores_at_the_threshold_stay() -> None:
    head = head_of(score=0.5, nms=NO_NMS)
    maps = _silent(head)
    maps[0]["classes"][0, 0, 0, :3] = torch.tensor([0.0, 1e-3, -1e-3])
    assert head.decode(maps)[0].score.tolist() == pytest.approx([0.50025, 0.5])


def test_boxes_that_are_none_are_not_found() -> None:
    head = head_of(nms=NO_NMS)
    maps = _silent(head)
    maps[0]["classes"][0, 0, 0, :6] = 1.0
    with torch.no_grad():
        maps[0]["size"][0, 0, 0, 0], maps[0]["size"][0, 0, 0, 1] = 1e4, -1e4
        maps[0]["offset"][0, 0, 0, 2], maps[0]["velocity"][0, 0, 0, 3] = math.inf, math.nan
    maps[0]["classes"][0, 0, 0, 4] = math.nan
    assert len(head.decode(maps)[0].score) == 1


def test_learns_a_few_boxes_by_heart() -> None:
    head = head_of(16, shared=24, branch=24)
    features = torch.randn(1, 16, *GRID.shape, generator=torch.Generator().manual_seed(0))
    wanted = truth(
        ("car", box("car", -2, 0.2, 0.4, 1.1)),
        ("car", box("car", 2, -1.5, 3.0, 0.9)),
        ("walker", box("walker", 3, 2, -2.0)),
        ("cone", box("cone", 5, -2, 1.0, 0.9)),
    )
    wanted.boxes[0, 7:] = math.nan
    optimiser = torch.optim.Adam(head.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, 180)
    for _ in range(180):
        optimiser.zero_grad()
        head.loss(head(features), [wanted]).total.backward()
        optimiser.step()
        schedule.step()
    found = head.decode(head(features))[0]  # with the statistics of this very frame
    assert int((found.score > 0.3).sum()) == len(wanted.label)
    for b, label in zip(wanted.boxes, wanted.label, strict=True):
        row = int((found.boxes[: len(wanted.label), :2] - b[:2]).norm(dim=1).argmin())
        assert found.label[row] == label
        off = found.boxes[row] - b
        assert off[:2].norm() < 0.15 and off[3:6].abs().max() < 0.2
        assert abs(math.remainder(off[6].item(), 2 * math.pi)) < 0.15
        assert b[7:].isnan().all() or off[7:].norm() < 0.3


def test_the_same_seed_gives_the_same_bits() -> None:
    def learnt() -> list[Tensor]:
        head = head_of(seed=3)
        features = torch.randn(2, 6, *GRID.shape, generator=torch.Generator().manual_seed(1))
        loss = head.loss(head(features), [random_truth(0), random_truth(1)])
        loss.total.backward()
        return [loss.total, *(p.grad for p in head.parameters())]

    assert all(torch.equal(a, b) for a, b in zip(learnt(), learnt(), strict=True))


def test_every_weight_has_a_gradient_whatever_the_frames_hold() -> None:
    for frames in ([truth(), truth()], [truth(("cone", box("cone", 0, 0))), truth()]):
        head = head_of()
        loss = head.loss(head(torch.randn(2, 6, *GRID.shape)), frames).total
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(
    ("column", "number"), [(0, math.nan), (4, math.inf), (6, math.nan), (8, math.inf)]
)
def test_a_box_that_is_no_box_is_an_error(column: int, number: float) -> None:
    head, odd = head_of(), box("car", 0, 0)
    odd[column] = number
    with pytest.raises(UserError, match="frame 1 of a batch"):
        head.loss(random_maps(head, 2), [truth(), truth(("car", odd))])


def test_a_map_of_another_size_is_an_error() -> None:
    with pytest.raises(UserError, match="13 x 15 cells, and anchors were laid for 12 x 15"):
        head_of()(torch.randn(1, 6, 13, 15))


def test_a_group_of_no_class_is_an_error() -> None:
    wrong = recipe().model_copy(update={"groups": (*GROUPS, ("walkers",))})
    with pytest.raises(UserError, match='Did you mean "walker"'):
        SecondHead(6, wrong, FACTS, GRID)


def test_truth_of_another_number_of_frames_is_refused() -> None:
    head = head_of()
    with pytest.raises(ValueError, match="maps of 2 frames, truth of 1"):
        head.loss(random_maps(head, 2), [truth()])

"""SECOND's code of a box: closed forms, and there and back."""

from __future__ import annotations

import math

import torch

from lima_bench.downstream.detection.second.code import CODE_WIDTH, decode, encode

ANCHOR = torch.tensor([[10.0, -5.0, 0.5, 4.0, 3.0, 2.0, 1.57]], dtype=torch.float64)


def _random(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    boxes = 10 * torch.randn(n, 9, generator=generator, dtype=torch.float64)
    anchors = 10 * torch.randn(n, 7, generator=generator, dtype=torch.float64)
    boxes[:, 3:6] = boxes[:, 3:6].abs() + 0.01
    anchors[:, 3:6] = anchors[:, 3:6].abs() + 0.01
    return boxes, anchors


def test_what_is_encoded_is_decoded() -> None:
    boxes, anchors = _random(500)
    back = decode(encode(boxes, anchors), anchors)
    turn = torch.remainder(back[:, 6] - boxes[:, 6] + math.pi, 2 * math.pi) - math.pi
    assert turn.abs().max() < 1e-9 and back[:, 6].abs().max() <= math.pi
    others = [0, 1, 2, 3, 4, 5, 7, 8]
    torch.testing.assert_close(back[:, others], boxes[:, others], rtol=1e-9, atol=1e-9)


def test_what_is_decoded_is_encoded() -> None:
    _, anchors = _random(500)
    generator = torch.Generator().manual_seed(1)
    code = torch.randn(500, CODE_WIDTH, generator=generator, dtype=torch.float64)
    yaw = code[:, 6]  # cosine and sine are not free: they lie on a circle around the anchor's
    circle = torch.stack((yaw.cos(), yaw.sin()), 1)
    code[:, 6:8] = circle - torch.stack((anchors[:, 6].cos(), anchors[:, 6].sin()), 1)
    torch.testing.assert_close(encode(decode(code, anchors), anchors), code)


def test_each_number_means_what_is_published() -> None:
    box = torch.tensor([[12.0, -6.0, 1.5, 8.0, 1.5, 2.0, -1.0, 3.0, -4.0]], dtype=torch.float64)
    wanted = [
        2 / 5, -1 / 5, 1 / 2,  # the diagonal of 4 x 3 is 5
        math.log(2), math.log(1 / 2), 0.0,
        math.cos(-1) - math.cos(1.57), math.sin(-1) - math.sin(1.57),
        3.0, -4.0,
    ]  # fmt: skip
    torch.testing.assert_close(encode(box, ANCHOR)[0].tolist(), wanted)


def test_a_code_of_zeros_is_the_anchor_at_rest() -> None:
    found = decode(torch.zeros(1, CODE_WIDTH, dtype=torch.float64), ANCHOR)
    torch.testing.assert_close(found[:, :7], ANCHOR)
    assert not found[:, 7:].any()


def test_an_unknown_velocity_stays_unknown_and_alone() -> None:
    boxes, anchors = _random(1)
    boxes[:, 7] = math.nan
    code = encode(boxes, anchors)
    assert code.isnan().nonzero().tolist() == [[0, 8]]


def test_no_boxes() -> None:
    assert encode(torch.zeros(0, 9), torch.zeros(0, 7)).shape == (0, CODE_WIDTH)
    assert decode(torch.zeros(0, CODE_WIDTH), torch.zeros(0, 7)).shape == (0, 9)

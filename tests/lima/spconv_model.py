"""spconv's implicit GEMM as its kernels are written, in plain torch: what runs where no GPU is.

Read in cumm 0.7.11, ``conv/kernel.py``, and spconv 2.3.8, ``csrc/sparse/convops.py``: a block takes
`TILE` consecutive entries of the sorted rows, ORs their masks (read by position, not through the
order), and for each weight in the result gathers rows, skipping those that the pair table lacks.
For a submanifold's input gradient the same masks are read with their bits in reverse.
"""

from types import SimpleNamespace

import torch

TILE = 32


class Ops:
    """What `spconv_convolution` calls of ``spconv.pytorch.ops``."""

    CPU_ONLY_BUILD = True  # so that nobody looks for its tuners

    def __init__(self, constants):
        self.constants = constants
        self.calls = []

    def implicit_gemm(self, features, filters, rows, masks, order, n_out, every, train, subm):
        self._note("forward", features, filters)
        assert train in (True, False) and len(masks) == len(order) == len(every) == 1
        out = torch.full((n_out, len(filters)), torch.nan if subm else 0.0)
        tiles = tile_masks(masks[0])
        for block, weights in zip(order[0].long().split(TILE), tiles, strict=True):
            sums = torch.zeros(len(block), len(filters))
            for k in weights_in(weights, filters.shape[1]):
                sums += gathered(features, rows[k, block]) @ filters[:, k].T
            out[block] = sums
        return out, (tiles if train else None), TILE

    def implicit_gemm_backward(
        self, features, filters, grad_out, rows, rows_back, masks, masks_back, order, order_back,
        tiles, every, width, subm,
    ):  # fmt: skip
        self._note("backward", grad_out, filters)
        assert tiles is not None and width == TILE and len(every) == 1
        n_weights = filters.shape[1]
        grad = torch.full_like(features, torch.nan) if subm else torch.zeros_like(features)
        walked = (masks[0], order[0]) if subm else (masks_back[0], order_back[0])
        blocks = walked[1].long().split(TILE)
        for block, weights in zip(blocks, tile_masks(walked[0]), strict=True):
            if weights == 0:
                continue
            sums = torch.zeros(len(block), features.shape[1])
            for k in weights_in(weights, n_weights):
                k = n_weights - 1 - k if subm else k
                sums += gathered(grad_out, rows_back[k, block]) @ filters[:, k]
            grad[block] = sums
        grad_filters = torch.zeros_like(filters)
        for block, weights in zip(order[0].long().split(TILE), tiles, strict=True):
            for k in weights_in(weights, n_weights):
                grad_filters[:, k] += grad_out[block].T @ gathered(features, rows[k, block])
        return grad, grad_filters

    def _note(self, what, left, right):
        self.calls.append((what, self.constants.SPCONV_ALLOW_TF32))
        for each in (left, right):
            assert each.dtype == torch.float32 and each.is_contiguous()
        assert not torch.is_autocast_enabled("cpu")


def model():
    """A library like `lima_bench.lima.backbones.sparse.spconv_library.library` gives."""
    constants = SimpleNamespace(SPCONV_ALLOW_TF32=False)
    return SimpleNamespace(ops=Ops(constants), constants=constants)


def tile_masks(masks):
    """OR over the masks of each tile."""
    assert masks.ndim == 2 and masks.dtype == torch.int32
    merged = []
    for tile in masks[:, 0].split(TILE):
        merged.append(0)
        for mask in tile.tolist():
            merged[-1] |= mask
    return merged


def weights_in(mask, n_weights):
    return [k for k in range(n_weights) if mask >> k & 1]


def gathered(features, rows):
    padded = torch.cat((features, features.new_zeros(1, features.shape[1])))
    return padded[rows.long()]

"""What the real spconv computes on a CPU, as JSON: a program of its own, see test_spconv_engine.

It runs apart because it must have one thread from the start (spconv's sums are wrong with two),
and because it replaces spconv's question for a CUDA stream, without which nothing trains there.
"""

import json
import sys

import torch

from lima_bench.lima.backbones.sparse import spconv_library
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.parity import agreement
from lima_bench.lima.backbones.sparse.reference import REFERENCE
from lima_bench.lima.backbones.sparse.spconv_cuda import SpconvEngine
from lima_bench.lima.backbones.sparse.spconv_library import Kernels
from lima_bench.lima.backbones.sparse.spconv_pairs import NativePairs

SIDE = 8
CPU = torch.device("cpu")
NATIVE = SpconvEngine("native")


def level():
    cells = torch.randint(0, SIDE, (300, 4), generator=torch.Generator().manual_seed(1))
    cells[:, 0] %= 2
    return Level.of(torch.unique(cells, dim=0), n_levels=2)


def layers_of_spconv():
    """Its own layers on its own maps, with our weights, against our reference on ours."""
    import spconv.pytorch as spconv

    plain = {"bias": False, "algo": spconv.ConvAlgo.Native}
    fine = level()
    generator = torch.Generator().manual_seed(2)
    weights = {n: torch.randn(n, 3, 4, generator=generator) for n in (27, 8)}
    theirs = {n: in_order_of_spconv(weight) for n, weight in weights.items()}
    features = torch.randn(fine.n_voxels, 3, generator=generator)
    x = spconv.SparseConvTensor(features, fine.coords.int(), [SIDE] * 3, 2)
    subm = layer(spconv.SubMConv3d(3, 4, 3, **plain), theirs[27])(x)
    down = layer(spconv.SparseConv3d(3, 4, 2, 2, indice_key="a", **plain), theirs[8])(x)
    back = torch.randn(8, 4, 3, generator=generator)
    inverse = spconv.SparseInverseConv3d(4, 3, 2, indice_key="a", **plain)
    up = layer(inverse, in_order_of_spconv(back))(down)
    ours_down = REFERENCE.convolve(features, weights[8], fine.down)
    row_of = {tuple(cell): row for row, cell in enumerate(down.indices.tolist())}
    rows = [row_of[tuple(cell)] for cell in fine.coarser.coords.tolist()]
    expected_up = REFERENCE.convolve(ours_down, back, fine.up)
    return {
        "subm": error(subm.features, REFERENCE.convolve(features, weights[27], fine.neighbours)),
        "down": error(down.features[rows], ours_down),
        "up": error(up.features, expected_up),
    }


def in_order_of_spconv(weight):
    side = round(len(weight) ** (1 / 3))
    return weight.view(side, side, side, *weight.shape[1:]).permute(4, 2, 1, 0, 3).contiguous()


def layer(module, weight):
    assert module.weight.shape == weight.shape
    module.weight = torch.nn.Parameter(weight)
    return module.eval()


def error(found, expected):
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


def same_pairs_as_spconv():
    """Whether our pairs are those that spconv finds, weight by weight, whatever their order."""
    from spconv.pytorch import ops

    fine = level()
    ones, zeros = [1] * 3, [0] * 3
    subm = ops.get_indice_pairs(
        fine.coords.int(), 2, [SIDE] * 3, ops.ConvAlgo.Native, [3] * 3, ones, ones, ones, zeros,
        subm=True,
    )  # fmt: skip
    return {"subm": as_sets(*subm[1:]) == as_sets(*ours(fine.neighbours))}


def ours(kernel_map):
    """Our pairs, with the weights in spconv's order."""
    found = NativePairs.of(kernel_map)
    order = torch.arange(27).view(3, 3, 3).permute(2, 1, 0).flatten()
    return found.pairs[:, order], found.counts[order]


def as_sets(pairs, counts):
    """For the first half of the weights: the other half's counts are not given."""
    rows = zip(pairs[0][:13], pairs[1][:13], counts[:13], strict=True)
    return [set(zip(a[:n].tolist(), b[:n].tolist(), strict=True)) for a, b, n in rows]


def half(dtype):
    """Results and gradients under autocast, against the reference under the same."""
    fine = level()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(fine.n_voxels, 8, generator=generator)
    w = torch.randn(27, 8, 4, generator=generator)
    runs = []
    for engine in (NATIVE, REFERENCE):
        a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
        with torch.autocast("cpu", dtype):
            out = engine.convolve(a, b, fine.neighbours)
        out.float().square().sum().backward()
        assert out.dtype == dtype and a.grad.dtype == b.grad.dtype == torch.float32
        runs.append((out.float(), a.grad, b.grad))
    return max(error(mine, other) for mine, other in zip(*runs, strict=True))


def repeated():
    fine = level()
    x = torch.randn(fine.n_voxels, 16, requires_grad=True)
    w = torch.randn(27, 16, 16, requires_grad=True)
    runs = []
    for _ in range(2):
        out = NATIVE.convolve(x, w, fine.neighbours)
        runs.append((out, *torch.autograd.grad(out, (x, w), out.detach())))
    return all(torch.equal(*pair) for pair in zip(*runs, strict=True))


def kernels_for_every_width():
    """For every GPU generation the kernels that would run; None where spconv is the CPU build."""
    ops = spconv_library.library().ops
    if ops.CPU_ONLY_BUILD:
        return None
    from cumm import tensorview as tv
    from cumm.conv.bases import KRSC, NHWC, ConvOpType

    chosen = {}
    for which in (Kernels(repeatable=True), Kernels(repeatable=True, tf32=True)):
        with spconv_library.kernels(which) as ops:
            for arch in ((7, 5), (8, 0), (9, 0), (12, 0)):
                for c_in, c_out in ((1, 32), (4, 32), (5, 16), (3, 7), (32, 32), (384, 256)):
                    shapes = ((9, c_in), (c_out, 27, c_in), (9, c_out))
                    tensors = [tv.empty(list(shape), tv.float32, -1) for shape in shapes]
                    for operation in (
                        ConvOpType.kForward,
                        ConvOpType.kBackwardInput,
                        ConvOpType.kBackwardWeight,
                    ):
                        found = ops.CONV.get_all_available(
                            *tensors, NHWC, KRSC, NHWC, arch, operation, 64, None, which.tf32
                        )
                        name = f"{arch} {c_in}->{c_out} {operation.name} tf32={which.tf32}"
                        chosen[name] = [str(each) for each in found]
    return chosen


def main():
    torch.set_num_threads(1)
    spconv_library.library().ops.get_current_stream = lambda: 0
    found = agreement(NATIVE, CPU)
    results = {
        "agreement": [found.forward, found.features, found.weight],
        "layers": layers_of_spconv(),
        "same_pairs": same_pairs_as_spconv(),
        "bfloat16": half(torch.bfloat16),
        "float16": half(torch.float16),
        "repeated": repeated(),
        "kernels": kernels_for_every_width(),
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()

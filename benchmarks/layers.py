"""Single convolutions: their share of the rate of `torch.mm`, engine by engine.

Offers `rows`. A share counts useful operations only (twice pairs x channels in x channels out,
three times that with backward), so 1 is a convolution without any overhead on a library whose
products run like MKL's. Kernel maps are built beforehand for all, and one thread computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks import spconv_peer
from benchmarks.contenders import PEER, engines, our_engine, without_spconv
from benchmarks.rows import Row, Timings, interleave
from benchmarks.scans import LARGE, QUICK, scan_voxels
from lima_bench.lima.backbones.sparse.engine import ENGINES
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.maps import Level

N_LEVELS = 5
MM_SIDE = 1024
MM_OPERATIONS = 2 * MM_SIDE**3
BACKWARD_FACTOR = 3
NARROW_TARGETS = {"forward": 0.80, "with backward": 0.75}
WIDE_TARGETS = {"forward": 1.00, "with backward": 0.95}


@dataclass(frozen=True)
class Layer:
    """One convolution of a MinkUNet-34.

    Attributes:
        kind: ``neighbours`` (kernel of 3), ``down`` or ``up`` (kernel of 2, stride 2).
        channels: In and out.
        stride: Of its finer level.
    """

    kind: str
    channels: int
    stride: int

    @property
    def title(self) -> str:
        """As it stands in the name of a row."""
        kernel = "subm-3" if self.kind == "neighbours" else f"{self.kind}-2"
        return f"{kernel}/C={self.channels}-s{self.stride}"

    @property
    def targets(self) -> dict[str, float]:
        """Least shares that the issue asks for; submanifold convolutions only."""
        if self.kind != "neighbours":
            return {}
        return NARROW_TARGETS if self.channels < 64 else WIDE_TARGETS


LAYERS = (
    *(Layer("neighbours", *at) for at in ((32, 1), (96, 1), (64, 4), (128, 8), (256, 16))),
    *(Layer(kind, *at) for at in ((32, 1), (64, 4), (128, 8)) for kind in ("down", "up")),
)


MISSED = (
    "on the border, 5 % from run to run: the kernel alone reaches the target on a warm output; "
    "with few channels a tile's row numbers, additions and cold output rows show"
)


def rows(quick: bool) -> list[Row]:
    """Every layer under every engine and spconv."""
    levels = [Level.of(scan_voxels(QUICK if quick else LARGE).coords, N_LEVELS)]
    for _ in range(N_LEVELS - 1):
        levels.append(levels[-1].coarser)
    chosen = (LAYERS[0], LAYERS[-1]) if quick else LAYERS
    found = []
    for layer in chosen:
        level = levels[layer.stride.bit_length() - 1]
        found += _rows_of(layer, level, rounds=3 if quick else 15)
    return found


def _rows_of(layer: Layer, level: Level, rounds: int) -> list[Row]:
    kernel_map: KernelMap = getattr(level, layer.kind)
    n_pairs = int((kernel_map.table >= 0).sum())
    operations = 2 * n_pairs * layer.channels**2
    timings = interleave(_work(layer, level, kernel_map), rounds=rounds)
    contenders = [name for name in timings.seconds if name.endswith("/forward")]
    found = []
    for name in (name.removesuffix("/forward") for name in contenders):
        for part, factor in (("forward", 1), ("with backward", BACKWARD_FACTOR)):
            useful = factor * operations / MM_OPERATIONS
            share = timings.ratio("mm", f"{name}/{part}").scaled(useful)
            target = layer.targets.get(part) if name == our_engine() else None
            note = _note(timings, name, part, n_pairs)
            row_name = f"layers/{name}/{layer.title}/{part}"
            row = Row.of(row_name, share, "of mm", at_least=target, note=note, missed=MISSED)
            found.append(row)
    return found


def _note(timings: Timings, name: str, part: str, n_pairs: int) -> str:
    said = f"{timings.sample(f'{name}/{part}', 1e3).median:.2f} ms, {n_pairs} pairs"
    if name != our_engine():
        return said
    for other in (*engines(), PEER):
        if other != name and f"{other}/{part}" in timings.seconds:
            said += f"; {timings.ratio(f'{other}/{part}', f'{name}/{part}').median:.2f}x {other}"
    missing = without_spconv()
    return f"{said}; {missing}" if missing else said


def _work(layer: Layer, level: Level, kernel_map: KernelMap) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    n_weights = kernel_map.table.shape[1]
    features = torch.randn(kernel_map.n_in, layer.channels, requires_grad=True)
    weight = torch.randn(n_weights, layer.channels, layer.channels) / layer.channels
    weight.requires_grad_()
    upstream = torch.randn(kernel_map.n_out, layer.channels)
    matrix = torch.randn(MM_SIDE, MM_SIDE)
    work: dict[str, Callable[[], object]] = {"mm": lambda: matrix @ matrix}
    expected = ENGINES.get("reference").convolve(features, weight, kernel_map).detach()
    for name in engines():
        call = partial(ENGINES.get(name).convolve, features, weight, kernel_map)
        work |= _both(name, call, (features, weight), upstream)
        _check(name, call(), expected)
    if not spconv_peer.why_not():
        theirs, inputs, order = _peer_call(layer, level, features, weight)
        work |= _both(PEER, theirs, inputs, upstream)
        _check(PEER, theirs(), expected[order])
    return work


def _both(
    name: str, call: Callable[[], Tensor], inputs: tuple[Tensor, Tensor], upstream: Tensor
) -> dict[str, Callable[[], object]]:
    def forward() -> object:
        with torch.no_grad():
            return call()

    return {
        f"{name}/forward": forward,
        f"{name}/with backward": lambda: torch.autograd.grad(call(), inputs, upstream),
    }


def _check(name: str, result: Tensor, expected: Tensor) -> None:
    """A fast wrong answer is no answer."""
    error = float((result.detach() - expected).abs().max() / expected.abs().max())
    if error > 1e-4:
        raise ArithmeticError(f"{name} differs from the reference by {error:.1e} of the maximum")


def _peer_call(
    layer: Layer, level: Level, features: Tensor, weight: Tensor
) -> tuple[Callable[[], Tensor], tuple[Tensor, Tensor], Tensor]:
    """Spconv's layer on the same cells with its pair lists at hand.

    Returns:
        The call; features and weights that it uses; our row of each of its output rows, because
        its coarse cells come in an order of their own.
    """
    fine = spconv_peer.sparse_tensor(level.coords, torch.zeros(level.n_voxels, 1))
    same = torch.arange(level.n_voxels)
    module = spconv_peer.convolution(layer.kind, weight, "pairs")
    cells, order_in, order_out = fine, same, same
    if layer.kind != "neighbours":
        coarse = spconv_peer.convolution("down", torch.zeros(8, 1, 1), "pairs")(fine)
        order = _our_rows(level.coarser.coords, coarse.indices.long())
        down = layer.kind == "down"
        cells = fine if down else coarse
        order_in, order_out = (same, order) if down else (order, same)
    given = features.detach()[order_in].requires_grad_()

    def call() -> Tensor:
        result: Tensor = module(cells.replace_feature(given)).features
        return result

    peer_weight = module.weight
    assert isinstance(peer_weight, Tensor)
    return call, (given, peer_weight), order_out


def _our_rows(ours: Tensor, theirs: Tensor) -> Tensor:
    """For each of their cells the row that it has among ours, which are sorted."""
    scale = int(ours.max()) + 1
    powers = scale ** torch.arange(3, -1, -1)
    return torch.searchsorted((ours * powers).sum(1), (theirs * powers).sum(1))

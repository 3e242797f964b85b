"""MinkUNets of other code bases, each by its own definition: names, order of weights, forward.

Nothing here knows our layers. A network makes its tensors at random when its forward first asks for
them, so that the names and shapes of its file are those that its own forward reads. Convolutions
are sums over looked-up cells, in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Cell = tuple[int, int, int, int]


class Cells:
    """Occupied cells of one resolution, in order: batch and three signed indices."""

    def __init__(self, cells: list[Cell]) -> None:
        self.cells = sorted(cells)
        self.row = {cell: i for i, cell in enumerate(self.cells)}
        self._rows: dict[tuple[int, ...], Tensor] = {}

    def rows_at(self, offset: tuple[int, ...]) -> Tensor:
        """For every cell, the row of the cell at `offset` from it; past the last if none."""
        if offset not in self._rows:
            a, b, c = offset
            wanted = [(n, x + a, y + b, z + c) for n, x, y, z in self.cells]
            self._rows[offset] = torch.tensor([self.row.get(w, len(self.cells)) for w in wanted])
        return self._rows[offset]

    def halved(self) -> Cells:
        """The cells of twice the edge; // rounds down for negative indices as well."""
        if not hasattr(self, "_coarse"):
            self._coarse = Cells(list({(n, x // 2, y // 2, z // 2) for n, x, y, z in self.cells}))
        return self._coarse


# How a library finds the weights (c_in, c_out) of an offset (0-based along each axis).
def minkowski(weight: Tensor, at: tuple[int, ...], edge: int) -> Tensor:
    if edge == 1:
        return weight
    return weight[at[0] + edge * at[1] + edge * edge * at[2]]


def torchsparse(weight: Tensor, at: tuple[int, ...], edge: int) -> Tensor:
    if edge == 1:
        return weight
    steps = range(edge)
    if edge % 2 == 1:
        offsets = [(x, y, z) for z in steps for y in steps for x in steps]
    else:
        offsets = [(x, y, z) for x in steps for y in steps for z in steps]
    return weight[offsets.index(at)]


def spconv_xyz(weight: Tensor, at: tuple[int, ...], edge: int) -> Tensor:
    return weight[:, at[0], at[1], at[2], :].T


def spconv_zyx(weight: Tensor, at: tuple[int, ...], edge: int) -> Tensor:
    return weight[:, at[2], at[1], at[0], :].T


def spconv1_xyz(weight: Tensor, at: tuple[int, ...], edge: int) -> Tensor:
    return weight[at[0], at[1], at[2]]


LIBRARIES: dict[str, tuple[Callable[..., Tensor], str, str]] = {
    "minkowski": (minkowski, "kernel", ".bn"),
    "torchsparse": (torchsparse, "kernel", ""),
    "spconv_xyz": (spconv_xyz, "weight", ""),
    "spconv_zyx": (spconv_zyx, "weight", ""),
    "spconv1_xyz": (spconv1_xyz, "weight", ""),
}


class Network:
    """Layers by name; `state` fills while the forward runs, `trace` keeps what tests compare."""

    def __init__(self, library: str, seed: int = 0) -> None:
        self.library = library
        self.weights_at, self.leaf, self.inner = LIBRARIES[library]
        self.state: dict[str, Tensor] = {}
        self.trace: dict[str, Tensor] = {}
        self.random = torch.Generator().manual_seed(seed)
        self.eps = 1e-5

    def weight(self, name: str, edge: int, c_in: int, c_out: int) -> Tensor:
        shape: tuple[int, ...] = (edge**3, c_in, c_out) if edge > 1 else (c_in, c_out)
        if self.library.startswith("spconv"):
            shape = (c_out, edge, edge, edge, c_in)
        if self.library.startswith("spconv1"):
            shape = (edge, edge, edge, c_in, c_out)
        key = f"{name}.{self.leaf}"
        if key not in self.state:
            self.state[key] = torch.randn(shape, generator=self.random) / (c_in * edge) ** 0.5
        return self.state[key].double()

    def norm(self, name: str, x: Tensor) -> Tensor:
        def make(leaf: str, low: float, high: float) -> Tensor:
            drawn = torch.rand(x.shape[1], generator=self.random) * (high - low) + low
            return self.state.setdefault(f"{name}{self.inner}.{leaf}", drawn).double()

        weight, bias = make("weight", 0.5, 1.5), make("bias", -0.2, 0.2)
        mean, var = make("running_mean", -0.2, 0.2), make("running_var", 0.5, 1.5)
        self.state[f"{name}{self.inner}.num_batches_tracked"] = torch.tensor(7)
        return (x - mean) / (var + self.eps).sqrt() * weight + bias

    def same(self, name: str, cells: Cells, x: Tensor, c_out: int, edge: int = 3) -> Tensor:
        """Kernel of 3 (or 1) on the same cells."""
        weight = self.weight(name, edge, x.shape[1], c_out)
        padded = torch.cat((x, x.new_zeros(1, x.shape[1])))
        out = x.new_zeros(len(cells.cells), c_out)
        for at in itertools.product(range(edge), repeat=3):
            offset = tuple(i - edge // 2 for i in at)
            out += padded[cells.rows_at(offset)] @ self.weights_at(weight, at, edge)
        return out

    def down(self, name: str, cells: Cells, x: Tensor, c_out: int) -> tuple[Cells, Tensor]:
        """Kernel of 2, stride 2: cell c of the coarse grid reads the fine cells 2c + i."""
        coarse, weight = cells.halved(), self.weight(name, 2, x.shape[1], c_out)
        out = x.new_zeros(len(coarse.cells), c_out)
        for (n, *fine), row in cells.row.items():
            at = tuple(i % 2 for i in fine)
            to = coarse.row[(n, *(i // 2 for i in fine))]
            out[to] += x[row] @ self.weights_at(weight, at, 2)
        return coarse, out

    def up(self, name: str, cells: Cells, x: Tensor, c_out: int) -> Tensor:
        """Transposed kernel of 2: the fine cell 2c + i reads the coarse cell c under weight i."""
        coarse, weight = cells.halved(), self.weight(name, 2, x.shape[1], c_out)
        out = x.new_zeros(len(cells.cells), c_out)
        for (n, *fine), row in cells.row.items():
            at = tuple(i % 2 for i in fine)
            out[row] = x[coarse.row[(n, *(i // 2 for i in fine))]] @ self.weights_at(weight, at, 2)
        return out


Blocks = tuple[tuple[int, int], ...]
"""Width and number of the blocks of each stage: encoder, then decoder."""

MINKUNET34: Blocks = tuple(
    zip((32, 64, 128, 256, 256, 128, 96, 96), (2, 3, 4, 6, 2, 2, 2, 2), strict=True)
)
SMALL: Blocks = ((8, 1), (16, 2), (12, 1), (8, 2))


def res16unet(net: Network, cells: Cells, x: Tensor, blocks: Blocks, base: int) -> Tensor:
    """SLidR's network (names with strides; one convolution in the stem)."""
    half = len(blocks) // 2

    def block(name: str, grid: Cells, x: Tensor, width: int) -> Tensor:
        y = net.norm(f"{name}.norm1", net.same(f"{name}.conv1", grid, x, width)).relu()
        y = net.norm(f"{name}.norm2", net.same(f"{name}.conv2", grid, y, width))
        if x.shape[1] != width:
            shortcut = net.same(f"{name}.downsample.0", grid, x, width, edge=1)
            x = net.norm(f"{name}.downsample.1", shortcut)
        return (y + x).relu()

    x = net.norm("bn0", net.same("conv0p1s1", cells, x, base)).relu()
    net.trace["stem"] = x
    skips, grids = [x], [cells]
    for stage in range(half):
        name = f"conv{stage + 1}p{2**stage}s2"
        grid, x = net.down(name, grids[-1], x, x.shape[1])
        x = net.norm(f"bn{stage + 1}", x).relu()
        for i in range(blocks[stage][1]):
            x = block(f"block{stage + 1}.{i}", grid, x, blocks[stage][0])
        net.trace[f"encoder.{stage}"] = x
        skips.append(x)
        grids.append(grid)
    for stage in range(half):
        grid, width = grids[-2 - stage], blocks[half + stage][0]
        name = f"convtr{half + stage}p{2 ** (half - stage)}s2"
        x = net.norm(f"bntr{half + stage}", net.up(name, grid, x, width)).relu()
        x = torch.cat((x, skips[-2 - stage]), dim=1)
        for i in range(blocks[half + stage][1]):
            x = block(f"block{half + stage + 1}.{i}", grid, x, width)
        net.trace[f"decoder.{stage}"] = x
    return x


def superflow(
    net: Network, cells: Cells, x: Tensor, blocks: Blocks, base: int, *, wide: int = 1
) -> Tensor:
    """SuperFlow's network: ``conv`` and ``norm`` in modules; with `wide` 4, bottlenecks."""
    half = len(blocks) // 2

    def unit(name: str, grid: Cells, x: Tensor, width: int, edge: int) -> Tensor:
        return net.norm(f"{name}.norm", net.same(f"{name}.conv", grid, x, width, edge))

    def block(name: str, grid: Cells, x: Tensor, width: int) -> Tensor:
        if wide == 1:
            y = net.norm(f"{name}.norm1", net.same(f"{name}.conv1", grid, x, width)).relu()
            y = net.norm(f"{name}.norm2", net.same(f"{name}.conv2", grid, y, width))
        else:
            y = net.same(f"{name}.conv1", grid, x, width, edge=1)
            y = net.norm(f"{name}.norm1", y).relu()
            y = net.norm(f"{name}.norm2", net.same(f"{name}.conv2", grid, y, width)).relu()
            y = net.same(f"{name}.conv3", grid, y, width * wide, edge=1)
            y = net.norm(f"{name}.norm3", y)
        if x.shape[1] != width * wide:
            x = unit(f"{name}.downsample", grid, x, width * wide, 1)
        return (y + x).relu()

    for i in (0, 1):
        x = unit(f"conv0.{i}", cells, x, base, 3).relu()
    net.trace["stem"] = x
    skips, grids = [x], [cells]
    for stage in range(half):
        grid, x = net.down(f"conv{stage + 1}.conv", grids[-1], x, x.shape[1])
        x = net.norm(f"conv{stage + 1}.norm", x).relu()
        for i in range(blocks[stage][1]):
            x = block(f"block{stage + 1}.{i}", grid, x, blocks[stage][0])
        net.trace[f"encoder.{stage}"] = x
        skips.append(x)
        grids.append(grid)
    for stage in range(half, 2 * half):
        grid, width = grids[half - stage - 2], blocks[stage][0]
        x = net.up(f"conv{stage + 1}.conv", grid, x, width)
        x = net.norm(f"conv{stage + 1}.norm", x).relu()
        x = torch.cat((x, skips[half - stage - 2]), dim=1)
        for i in range(blocks[stage][1]):
            x = block(f"block{stage + 1}.{i}", grid, x, width)
        net.trace[f"decoder.{stage - half}"] = x
    return x


MMDET3D = {
    "torchsparse": ("net.0", "net.1", ("net.0", "net.1", "net.3", "net.4"), "downsample."),
    "minkowski": ("net.0", "net.1", ("conv1", "norm1", "conv2", "norm2"), "downsample.net."),
    "spconv_xyz": ("0", "1", ("conv1", "bn1", "conv2", "bn2"), "downsample."),
    "spconv1_xyz": ("0", "1", ("conv1", "bn1", "conv2", "bn2"), "downsample."),
}
"""Names in a unit (convolution, normalisation), in a block, and before those of its shortcut."""


def mmdet3d(net: Network, cells: Cells, x: Tensor, blocks: Blocks, base: int) -> Tensor:
    """mmdetection3d's network with one of its three back ends."""
    half = len(blocks) // 2
    conv, norm, (conv1, norm1, conv2, norm2), shortcut = MMDET3D[net.library]

    def block(name: str, grid: Cells, x: Tensor, width: int) -> Tensor:
        y = net.norm(f"{name}.{norm1}", net.same(f"{name}.{conv1}", grid, x, width)).relu()
        y = net.norm(f"{name}.{norm2}", net.same(f"{name}.{conv2}", grid, y, width))
        if x.shape[1] != width:
            x = net.same(f"{name}.{shortcut}0", grid, x, width, edge=1)
            x = net.norm(f"{name}.{shortcut}1", x)
        return (y + x).relu()

    for i in (0, 1):
        x = net.same(f"conv_input.{i}.{conv}", cells, x, base)
        x = net.norm(f"conv_input.{i}.{norm}", x).relu()
    net.trace["stem"] = x
    skips, grids = [x], [cells]
    for stage in range(half):
        grid, x = net.down(f"encoder.{stage}.0.{conv}", grids[-1], x, x.shape[1])
        x = net.norm(f"encoder.{stage}.0.{norm}", x).relu()
        for i in range(blocks[stage][1]):
            x = block(f"encoder.{stage}.{i + 1}", grid, x, blocks[stage][0])
        net.trace[f"encoder.{stage}"] = x
        skips.append(x)
        grids.append(grid)
    for stage in range(half):
        grid, width = grids[-2 - stage], blocks[half + stage][0]
        x = net.up(f"decoder.{stage}.0.{conv}", grid, x, width)
        x = net.norm(f"decoder.{stage}.0.{norm}", x).relu()
        x = torch.cat((x, skips[-2 - stage]), dim=1)
        for i in range(blocks[half + stage][1]):
            x = block(f"decoder.{stage}.1.{i}", grid, x, width)
        net.trace[f"decoder.{stage}"] = x
    return x


def voxel_backbone_8x(net: Network, cells: Cells, x: Tensor, extent: Cell) -> tuple[Cells, Tensor]:
    """OpenPCDet's VoxelBackBone8x; indices of its tensors are (batch, z, y, x).

    Args:
        net: With weights of spconv 2.x.
        cells: Batch and x, y, z.
        x: Their features.
        extent: Batch (unused) and the grid's cells along x, y, z.
    """
    net.eps = 1e-3

    def subm(name: str, cells: Cells, x: Tensor, width: int) -> Tensor:
        return net.norm(f"{name}.1", net.same(f"{name}.0", cells, x, width)).relu()

    x = subm("conv_input", cells, x, 16)
    x = subm("conv1.0", cells, x, 16)
    strides = ((3, 3, 3), (2, 2, 2))
    for stage, width, padding in ((2, 32, (1, 1, 1)), (3, 64, (1, 1, 1)), (4, 64, (0, 1, 1))):
        name = f"conv{stage}"
        cells, x, extent = strided(net, f"{name}.0.0", cells, x, width, extent, *strides, padding)
        x = net.norm(f"{name}.0.1", x).relu()
        for i in (1, 2):
            x = subm(f"{name}.{i}", cells, x, width)
    cells, x, extent = strided(
        net, "conv_out.0", cells, x, 128, extent, (3, 1, 1), (2, 1, 1), (0, 0, 0)
    )
    return cells, net.norm("conv_out.1", x).relu()


def strided(
    net: Network,
    name: str,
    cells: Cells,
    x: Tensor,
    c_out: int,
    extent: Cell,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    padding: tuple[int, int, int],
) -> tuple[Cells, Tensor, Cell]:
    """Every cell that a window reaches: out[o] = sum of x[o s - p + k] W[k], axes z, y, x."""
    key = f"{name}.weight"
    shape = (c_out, *kernel, x.shape[1])
    drawn = torch.randn(shape, generator=net.random) / (3 * x.shape[1]) ** 0.5
    weight = net.state.setdefault(key, drawn).double()
    sizes = [
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(extent[:0:-1], kernel, stride, padding, strict=True)
    ]
    pairs = []
    for (n, *xyz), row in cells.row.items():
        for at in itertools.product(*map(range, kernel)):
            moved = [i + p - k for i, p, k in zip(xyz[::-1], padding, at, strict=True)]
            out = [m // s for m, s in zip(moved, stride, strict=True)]
            whole = all(m % s == 0 for m, s in zip(moved, stride, strict=True))
            if whole and all(0 <= o < size for o, size in zip(out, sizes, strict=True)):
                pairs.append(((n, *out[::-1]), row, at))
    found = Cells(list({cell for cell, _, _ in pairs}))
    y = x.new_zeros(len(found.cells), c_out)
    for cell, row, at in pairs:
        y[found.row[cell]] += x[row] @ weight[(slice(None), *at)].T
    return found, y, (0, *sizes[::-1])

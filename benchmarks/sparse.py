"""How far sparse convolution is from plain matrix products, and what a training step costs.

Run ``.venv/bin/python benchmarks/sparse.py [--engine NAME] [--network NAME]`` from the checkout.
One thread, CPU time, medians. Layers are given in per cent of the rate at which ``torch.mm``
multiplies two 1024 x 1024 matrices on this machine at this moment: useful operations only, so 100 %
is a convolution without any overhead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.engine import current_engine, use_engine
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import Voxels, voxelise

GRID = VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5))
RANGE_M, SENSOR_HEIGHT_M = 52.0, 1.8
LAYERS = (
    ("neighbours", 1, 4, 16),
    ("neighbours", 1, 16, 16),
    ("neighbours", 1, 32, 16),
    ("down", 1, 16, 16),
    ("up", 1, 32, 16),
    ("neighbours", 2, 32, 32),
    ("neighbours", 2, 64, 32),
    ("neighbours", 4, 48, 48),
    ("neighbours", 4, 96, 48),
    ("neighbours", 8, 64, 64),
    ("neighbours", 1, 96, 96),
)
"""Kernel map, stride of its level, channels in and out; the last is of MinkUNet-34."""


def median_ms(work: Callable[[], object], repeats: int = 15) -> float:
    """Median CPU milliseconds of `work`, after one call that warms up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return sorted(times)[repeats // 2] * 1e3


def scan(seed: int, beams: int = 32, azimuths: int = 480) -> np.ndarray:
    """Points where the beams of a spinning LiDAR first meet a street of boxes, metres."""
    rng = np.random.default_rng(seed)
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(-30, 10, beams)), np.radians(np.arange(azimuths) * 360 / azimuths)
    )
    across = np.cos(elevation)
    beam = np.stack((across * np.cos(azimuth), across * np.sin(azimuth), np.sin(elevation)), -1)
    beam = beam.reshape(-1, 3) + 1e-9
    nearest = np.where(beam[:, 2] < 0, -SENSOR_HEIGHT_M / beam[:, 2], np.inf)
    for centre, size in street(rng):
        with np.errstate(over="ignore"):
            faces = (centre + np.stack((-size, size)) / 2)[:, None] / beam
        enters, leaves = faces.min(0).max(1), faces.max(0).min(1)
        hit = (enters < leaves) & (enters > 0)
        nearest[hit] = np.minimum(nearest[hit], enters[hit])
    seen = (nearest < RANGE_M) & (rng.random(len(beam)) > 0.06)
    points = beam[seen] * nearest[seen, None] + rng.normal(0, 0.03, (int(seen.sum()), 3))
    return points.astype(np.float32)


def street(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centre and size of houses on both sides, and of cars, poles and bushes between them."""
    boxes = []
    for side in (-1, 1):
        for x in np.arange(-50, 50, 14):
            boxes.append(([x, side * rng.uniform(16, 24), 2.0], [rng.uniform(8, 13), 8, 8]))
    for _ in range(70):
        size = rng.choice([[4.2, 1.8, 1.5], [0.3, 0.3, 5.0], [1.5, 1.5, 1.2], [0.6, 0.6, 1.7]])
        x, y = rng.uniform(-48, 48), rng.choice([-1, 1]) * rng.uniform(3, 15)
        boxes.append(([x, y, size[2] / 2 - SENSOR_HEIGHT_M], size))
    return [(np.asarray(centre), np.asarray(size)) for centre, size in boxes]


def batch(n_scans: int) -> Voxels:
    """Scans of different streets, four features a point."""
    scans = [scan(seed) for seed in range(n_scans)]
    xyz = np.concatenate(scans)
    cloud_index = np.repeat(np.arange(n_scans), [len(points) for points in scans])
    features = np.column_stack((xyz, np.ones(len(xyz), np.float32)))
    return voxelise(xyz, features, cloud_index, GRID, n_clouds=n_scans)


def fresh_maps(coords: torch.Tensor, n_levels: int = 4) -> None:
    """Build everything that a network of `n_levels` resolutions needs of a batch."""
    level = Level.of(coords)
    for _ in range(n_levels - 1):
        _ = level.neighbours.blocks, level.down.blocks, level.up.blocks
        level = level.coarser
    _ = level.neighbours.blocks


def rate_of_mm() -> float:
    """Useful operations per millisecond of a plain matrix product."""
    matrix = torch.randn(1024, 1024)
    return 2 * 1024**3 / median_ms(lambda: matrix @ matrix, 9)


def print_layer(kernel_map: KernelMap, c_in: int, c_out: int, title: str) -> None:
    """One line: pairs, milliseconds and per cent of `torch.mm`, forward and with backward."""
    features = torch.randn(kernel_map.n_in, c_in, requires_grad=True)
    weight = torch.randn(len(kernel_map.rows_in), c_in, c_out, requires_grad=True)
    upstream = torch.randn(kernel_map.n_out, c_out)
    engine = current_engine()

    def forward() -> torch.Tensor:
        return engine.convolve(features, weight, kernel_map)

    def both() -> object:
        return torch.autograd.grad(forward(), (features, weight), upstream)

    n_pairs = sum(len(rows) for rows in kernel_map.rows_in)
    ideal = 2 * n_pairs * c_in * c_out / rate_of_mm()
    one, three = median_ms(forward), median_ms(both)
    print(
        f"{title:28} {n_pairs:7} pairs  forward {one:6.2f} ms {ideal / one:4.0%}   "
        f"with backward {three:6.2f} ms {3 * ideal / three:4.0%}"
    )


def print_network(name: str, voxels: Voxels) -> None:
    """Training step of `name` on the batch: maps, forward, backward, optimiser."""
    torch.manual_seed(0)
    student = Student(build_backbone(name, voxels.features.shape[1], bn_momentum=0.1))
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)
    upstream = torch.randn(len(voxels.inverse), student.width)

    def step() -> None:
        optimiser.zero_grad()
        student(voxels).backward(upstream)
        optimiser.step()

    def infer() -> None:
        with torch.inference_mode():
            student(voxels)

    repeats = 15 if name == "minkunet_tiny" else 3
    maps, forward = median_ms(lambda: fresh_maps(voxels.coords)), median_ms(infer, repeats)
    whole = median_ms(step, repeats)
    print(
        f"{name}: inference {forward:.1f} ms, training step {whole:.1f} ms "
        f"({1e3 / whole:.1f} a second); of each, maps {maps:.1f} ms"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="reference")
    parser.add_argument("--network", default="minkunet_tiny")
    parser.add_argument("--scans", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    voxels = batch(options.scans)
    print(f"{options.scans} scans, {len(voxels.inverse)} points, {len(voxels.coords)} voxels")
    with use_engine(options.engine):
        print_network(options.network, voxels)
        levels = [Level.of(voxels.coords)]
        for _ in range(3):
            levels.append(levels[-1].coarser)
        for kind, stride, c_in, c_out in LAYERS:
            level = levels[stride.bit_length() - 1]
            title = f"{kind} {c_in}->{c_out} at 1/{stride}"
            print_layer(getattr(level, kind), c_in, c_out, title)


if __name__ == "__main__":
    main()

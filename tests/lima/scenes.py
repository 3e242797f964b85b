"""Clouds whose clusters are known by construction, and recordings of them."""

import numpy as np

from lima_bench.datasets.sample import Frame, Sample, Source

GRID_M = 0.25


def plane(side_m=20.0, *, height_m=0.0):
    """Level ground, points a quarter of a metre apart."""
    ticks = np.arange(-side_m / 2, side_m / 2, GRID_M)
    x, y = np.meshgrid(ticks, ticks)
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, height_m)])


def box(centre, *, edge_m=1.0):
    """A cube standing 0.5 m above the ground, its points a quarter of a metre apart."""
    ticks = np.arange(0, edge_m + 1e-9, GRID_M)
    grid = np.stack(np.meshgrid(ticks, ticks, ticks), -1).reshape(-1, 3)
    return grid - [edge_m / 2, edge_m / 2, 0] + [*centre, 0.5]


BOX_POINTS = len(box((0, 0)))
PLACES = ((-6.0, 0.0), (0.0, 6.0), (6.0, -3.0))


def pose(index):
    """Drives 1 m a frame and turns."""
    matrix = np.eye(4)
    angle = 0.2 * index
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = (1.0 * index, 0.5 * index, 1.8)
    return matrix


def seen_from(world, matrix):
    """Points of the world in the sensor's frame."""
    return ((world - matrix[:3, 3]) @ matrix[:3, :3]).astype(np.float32)


def recording(worlds, *, name="drive"):
    """A `Source` of one recording that sees one world per frame."""
    frames = [Frame(f"{name}/{i}", name, i, 0.5 * i) for i in range(len(worlds))]

    def load(frame):
        points = seen_from(worlds[frame.index], pose(frame.index))
        intensity = np.ones(len(points), np.float32)
        return Sample(frame, points, intensity, lidar_to_global=pose(frame.index))

    return Source(card=None, frames=frames, load=load)


def three_boxes():
    """Ground, then three boxes in the order of `PLACES`."""
    return np.concatenate([plane(), *map(box, PLACES)])

"""From what a Waymo file says about a frame to a sample: points, labels, cameras.

Offers `sample_of`. Points come laser after laser, first before second returns, row after row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Camera, Float32, Float64, Frame, Int64, Sample
from lima_bench.datasets.waymo.capture import Capture, Laser, Shot
from lima_bench.datasets.waymo.names import CAMERAS, PIXEL_CENTRE, TO_WAYMO_AXES
from lima_bench.datasets.waymo.range_images import to_points

_AGAIN = "Get this file again from where the data set came from."


@dataclass(frozen=True)
class _Echo:
    """Every point of one return of one LiDAR."""

    points: Float64
    intensity: Float32
    ring: Int64
    raw: Int64


def sample_of(capture: Capture, frame: Frame, card: Card) -> Sample:
    """The sample of a frame, in the vehicle's frame at the frame's pose.

    Labels are None in a frame of which no return is labelled; elsewhere points of returns without
    labels (all but those of the top LiDAR) are ignored. `ring` counts the beams of all LiDARs
    through, the lowest of each first.

    Raises:
        UserError: There are no points, labels have another shape than ranges, or values are not
            numbers.
    """
    echoes, first_ring = [], 0
    for laser in capture.lasers:
        for number in range(len(laser.returns)):
            echoes.append(_echo(capture, laser, number, first_ring))
        first_ring += laser.returns[0].shape[0] if laser.returns else 0
    if not sum(len(echo.points) for echo in echoes):
        raise UserError(capture.where, "This scan is empty: it holds no points.", _AGAIN)
    raw = np.concatenate([echo.raw for echo in echoes])
    labelled = any(label is not None for laser in capture.lasers for label in laser.labels)
    return Sample(
        frame=frame,
        points=np.concatenate([echo.points for echo in echoes]).astype(np.float32),
        intensity=np.concatenate([echo.intensity for echo in echoes]),
        ring=np.concatenate([echo.ring for echo in echoes]),
        labels=card.remap(raw) if labelled else None,
        unknown_labels=card.unknown(raw) if labelled else {},
        lidar_to_global=capture.pose,
        cameras=tuple(_cameras(capture.shots, frame, card)),
    )


def _echo(capture: Capture, laser: Laser, number: int, first_ring: int) -> _Echo:
    """The points of return `number` (0 or 1) of one LiDAR."""
    image, name = laser.returns[number], laser.calibration.name
    height = image.shape[0]
    n_beams = len(laser.calibration.inclinations) or height
    if n_beams != height:
        raise UserError(
            capture.where,
            f"LiDAR {name} has {height} rows but {n_beams} beam inclinations.",
            "Range images and calibration must come from the same release; get both again.",
        )
    _refuse_strange(capture, laser, number)
    points, row, column = to_points(
        image[..., 0], laser.calibration, laser.pixel_pose, capture.pose
    )
    return _Echo(
        points=points,
        intensity=image[row, column, 1],
        ring=first_ring + height - 1 - row,
        raw=_raw(capture, laser, number)[row, column],
    )


def _refuse_strange(capture: Capture, laser: Laser, number: int) -> None:
    """Refuse a range image with values that are not numbers where something came back."""
    image = laser.returns[number]
    here = ~(image[..., 0] <= 0)
    wrong = ~np.isfinite(image[..., :2]).all(axis=2) & here
    if laser.pixel_pose is not None:
        if laser.pixel_pose.shape[:2] != image.shape[:2]:
            raise UserError(
                capture.where,
                f"LiDAR {laser.calibration.name} has a range image of {image.shape[:2]} and poses "
                f"of {laser.pixel_pose.shape[:2]}.",
                "Range images and poses must come from the same release; get both again.",
            )
        wrong |= ~np.isfinite(laser.pixel_pose).all(axis=2) & here
    if wrong.any():
        raise UserError(
            capture.where,
            f"{int(wrong.sum())} of {int(here.sum())} points are not numbers (NaN or infinite).",
            _AGAIN,
        )


def _raw(capture: Capture, laser: Laser, number: int) -> Int64:
    """Raw class ids (H, W); 0, which is undefined, where the return has no labels."""
    size = laser.returns[number].shape[:2]
    label = laser.labels[number] if number < len(laser.labels) else None
    if label is None:
        return np.zeros(size, dtype=np.int64)
    if label.shape[:2] != size:
        raise UserError(
            capture.where,
            f"The labels of LiDAR {laser.calibration.name} are {label.shape[:2]} pixels, "
            f"its range image {size}.",
            "Ranges and labels must come from the same release; get both again.",
        )
    return label[..., 1].astype(np.int64)


def _cameras(shots: tuple[Shot, ...], frame: Frame, card: Card) -> Iterator[Camera]:
    """The images that exist, in the card's order, with axes x right, y down, z ahead."""
    by_number = {shot.calibration.name: shot for shot in shots}
    for name in card.cameras:
        shot = by_number.get(CAMERAS[name])
        if shot is None:
            continue
        lens = shot.calibration
        f_u, f_v, c_u, c_v, *bend = lens.intrinsic.tolist()
        k1, k2, p1, p2, k3 = bend
        yield Camera(
            name=name,
            id=f"{frame.id}/{name}",
            image=shot.image,
            intrinsic=np.array(
                [[f_u, 0, c_u - PIXEL_CENTRE], [0, f_v, c_v - PIXEL_CENTRE], [0, 0, 1.0]]
            ),
            camera_to_global=shot.pose @ lens.extrinsic @ TO_WAYMO_AXES,
            width=lens.width,
            height=lens.height,
            distortion=(k1, k2, p1, p2, k3) if any(bend) else None,
        )

"""Segments in Waymo Open's second format: ``<folder>/<component>/<context name>.parquet``.

Offers `contexts`, `listing` (which frames a segment has), `poses_of`, and for reading one frame
`component_file`, `column` and `rows_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.waymo.listing import Listing
from lima_bench.datasets.waymo.names import CAMERAS, COMPONENTS, LASERS, TOP
from lima_bench.datasets.waymo.parquet import (
    CAMERA,
    LASER,
    TIMESTAMP,
    Columns,
    matrix,
    read_keys,
    read_rows,
)

OF_LASER, OF_CAMERA = (TIMESTAMP, LASER), (TIMESTAMP, CAMERA)
"""Key columns of what a LiDAR or a camera recorded."""


def contexts(folder: Path) -> list[str]:
    """Names of the segments in a split's folder, sorted."""
    return sorted(path.stem for path in (folder / "lidar").glob("*.parquet"))


def listing(folder: Path, context: str) -> Listing:
    """The frames of a segment, by keys and poses alone.

    A frame is labelled if the component of labels has a row for its top LiDAR, and has images if
    the component of images has one for a camera; segments without those files have none.

    Raises:
        UserError: A file is broken, or a frame has no pose.
    """
    lidar = read_keys(component_file(folder, "lidar", context), OF_LASER, LASERS)
    times = sorted(time for time, laser in lidar if laser == TOP)
    labels = _keys_if_there(folder, "lidar_segmentation", context, OF_LASER, LASERS)
    images = _keys_if_there(folder, "camera_image", context, OF_CAMERA, CAMERAS)
    pictured = {time for time, _ in images}
    poses = poses_of(folder, context)
    unposed = next((time for time in times if time not in poses), None)
    if unposed is not None:
        raise UserError(
            component_file(folder, "vehicle_pose", context),
            f"Frame {unposed} of lidar/ has no pose here.",
            "Both must come from the same release; get them again.",
        )
    return Listing(
        times_us=np.array(times, dtype=np.int64),
        poses=np.array([poses[time] for time in times]).reshape(-1, 4, 4),
        labelled=np.array([(time, TOP) in labels for time in times], dtype=bool),
        pictured=np.array([time in pictured for time in times], dtype=bool),
    )


def component_file(folder: Path, component: str, context: str) -> Path:
    """The file of one component of one segment."""
    return folder / component / f"{context}.parquet"


def column(component: str, name: str) -> str:
    """What a component's column is called in its file."""
    return f"[{COMPONENTS[component]}].{name}"


def _keys_if_there(
    folder: Path, component: str, context: str, keys: Sequence[str], names: Mapping[str, int]
) -> Mapping[tuple[int, ...], tuple[int, int]]:
    """`read_keys`; nothing where the segment has no such file."""
    path = component_file(folder, component, context)
    return read_keys(path, keys, names) if path.is_file() else {}


def rows_of(
    folder: Path,
    component: str,
    context: str,
    places: Mapping[tuple[int, ...], tuple[int, int]],
    columns: Sequence[str],
    optional: Sequence[str] = (),
) -> dict[tuple[int, ...], Columns]:
    """Rows of a component by their keys; column names without the component's."""
    path = component_file(folder, component, context)
    wanted = [column(component, name) for name in columns]
    more = [column(component, name) for name in optional]
    key_at = {place: key for key, place in places.items()}
    return {key_at[place]: row for place, row in read_rows(path, list(key_at), wanted, more)}


def poses_of(folder: Path, context: str, time_us: int | None = None) -> dict[int, Float64]:
    """4x4 vehicle to global by time; of one time, or of all."""
    path = component_file(folder, "vehicle_pose", context)
    places = read_keys(path, [TIMESTAMP], {})
    if time_us is not None:
        places = {key: place for key, place in places.items() if key == (time_us,)}
    transform = "world_from_vehicle.transform"
    rows = rows_of(folder, "vehicle_pose", context, places, [transform])
    name = column("vehicle_pose", transform)
    found = {key[0]: matrix(path, row, name) for key, row in rows.items()}
    if time_us is not None and time_us not in found:
        raise UserError(path, f"Frame {time_us} has no pose.", "Get the file again.")
    return found

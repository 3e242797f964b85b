"""Which frames a segment of Waymo Open has, whichever format it lies in.

Offers `Listing`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lima_bench.datasets.sample import Bool, Float64, Int64


@dataclass(frozen=True)
class Listing:
    """The frames of one segment, in order of time.

    Attributes:
        times_us: (F,) time stamps in microseconds, which name the frames.
        poses: (F, 4, 4) vehicle to global.
        labelled: (F,) whether the first return of the top LiDAR has point labels.
        pictured: (F,) whether there are images.
        places: (F, 2) byte offset and length of each record; None where frames are found by key.
    """

    times_us: Int64
    poses: Float64
    labelled: Bool
    pictured: Bool
    places: Int64 | None = None

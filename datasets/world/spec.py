"""How large the built-in street world is and how it is seen; the seed of everything it shows.

Offers `WorldSpec` (one drive per data set), `SETS` (those that are written) and `named_spec`
(``embedded``, ``smoke``). Light: no numba, no rendering.
"""

from __future__ import annotations

from typing import Any

from lima_bench.common.errors import unknown_name
from lima_bench.common.hashing import digest
from lima_bench.datasets.world.drives import (
    Count,
    Daps3dDrive,
    DatasetId,
    DriveSettings,
    NuScenesCDrive,
    NuScenesDrive,
    Rellis3dDrive,
    ScribbleKittiDrive,
    SemanticKittiDrive,
    SemanticPossDrive,
    SemanticStfDrive,
    SynLidarDrive,
    Synth4dDrive,
    WaymoDrive,
)

VERSION = 2
"""Raise it when the same `WorldSpec` is meant to show something else."""

SETS: tuple[DatasetId, ...] = (
    "nuscenes",
    "semantickitti",
    "waymo",
    "scribblekitti",
    "rellis3d",
    "semanticstf",
    "daps3d",
    "synth4d",
    "nuscenes_c",
    "semanticposs",
    "synlidar",
)
"""The data sets that the world is written as; each has an ``expedition.py`` and a ``writer.py``."""

_READS_TOO: dict[str, tuple[str, ...]] = {"nuscenes_c": ("nuscenes",)}
"""Whose settings a data set's recordings depend on beside its own."""


class WorldSpec(DriveSettings):
    """Everything that decides what the built-in world shows: same spec, same bits.

    Attributes:
        seed: Root of every random draw.

    The others are one drive per data set, by the data set's id.
    """

    seed: Count = 0
    nuscenes: NuScenesDrive = NuScenesDrive()
    semantickitti: SemanticKittiDrive = SemanticKittiDrive()
    waymo: WaymoDrive = WaymoDrive()
    scribblekitti: ScribbleKittiDrive = ScribbleKittiDrive()
    rellis3d: Rellis3dDrive = Rellis3dDrive()
    semanticposs: SemanticPossDrive = SemanticPossDrive()
    semanticstf: SemanticStfDrive = SemanticStfDrive()
    synlidar: SynLidarDrive = SynLidarDrive()
    daps3d: Daps3dDrive = Daps3dDrive()
    synth4d: Synth4dDrive = Synth4dDrive()
    nuscenes_c: NuScenesCDrive = NuScenesCDrive()

    def part(self, dataset: str) -> dict[str, Any]:
        """The settings that one data set's recordings depend on, as JSON values."""
        names = ("seed", dataset, *_READS_TOO.get(dataset, ()))
        return self.model_dump(mode="json", include=set(names))

    @property
    def digest(self) -> str:
        """Content address of the whole world."""
        return digest({"version": VERSION, "spec": self.model_dump(mode="json")})

    def digest_of(self, dataset: str) -> str:
        """Content address of one data set of this world."""
        return digest({"version": VERSION, "dataset": dataset, "spec": self.part(dataset)})


SPECS = {
    # Sweeps are read in pretraining and detection alone; elsewhere they would be most of what scans
    # take on disk.
    "embedded": WorldSpec(nuscenes=NuScenesDrive(sweeps_per_keyframe=0, detection_sweeps=2)),
    "smoke": WorldSpec(
        nuscenes=NuScenesDrive(
            sweeps_per_keyframe=0,
            detection_sweeps=1,
            train_scenes=100,
            train_keyframes=1,
            pretrain_scenes=4,
            pretrain_keyframes=4,
            val_scenes=4,
            val_keyframes=1,
            image_height=56,
            image_width=96,
            azimuths=240,
            max_range_m=40.0,
        ),
        semantickitti=SemanticKittiDrive(
            train_scans=10,
            val_scans=4,
            image_height=48,
            image_width=160,
            azimuths=180,
            max_range_m=40.0,
        ),
        waymo=WaymoDrive(
            train_segments=10,
            val_segments=2,
            frames=2,
            azimuths=120,
            side_azimuths=24,
            side_beams=8,
            image_height=40,
            image_width=60,
            max_range_m=40.0,
        ),
        scribblekitti=ScribbleKittiDrive(
            train_scans=10, val_scans=4, azimuths=120, max_range_m=40.0
        ),
        rellis3d=Rellis3dDrive(
            train_scans=20,
            val_scans=1,
            test_scans=1,
            azimuths=128,
            image_height=50,
            image_width=80,
            max_range_m=40.0,
        ),
        semanticposs=SemanticPossDrive(scans=4, azimuths=120, max_range_m=40.0),
        semanticstf=SemanticStfDrive(
            train_frames=8, val_frames=4, test_frames=1, azimuths=120, max_range_m=40.0
        ),
        synlidar=SynLidarDrive(train_scans=10, val_scans=2, azimuths=120, max_range_m=40.0),
        daps3d=Daps3dDrive(daps1_scans=1, daps2_scans=4, azimuths=120, max_range_m=40.0),
        synth4d=Synth4dDrive(
            train_frames=25, val_frames=1, kitti_frames=3, azimuths=120, max_range_m=40.0
        ),
        nuscenes_c=NuScenesCDrive(scenes=1),
    ),
}
"""The sizes of the profiles; 100 train scenes are the fewest that the 1 % rule of SLidR leaves."""


def named_spec(name: str) -> WorldSpec:
    """The spec of a profile.

    Raises:
        UserError: There is no spec of that name.
    """
    if name not in SPECS:
        raise unknown_name("world", "world spec", name, SPECS)
    return SPECS[name]

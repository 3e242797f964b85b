"""How large the built-in street world is and how it is seen; the seed of everything it shows.

Offers `WorldSpec` with its parts `NuScenesDrive` and `SemanticKittiDrive`, and `named_spec`
(``embedded``, ``smoke``). Light: no numba, no rendering.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lima_bench.common.errors import unknown_name
from lima_bench.common.hashing import digest

VERSION = 1
"""Raise it when the same `WorldSpec` is meant to show something else."""

CameraName = Literal[
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_FRONT_LEFT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
]
NUSCENES_CAMERAS: tuple[CameraName, ...] = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_FRONT_LEFT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
)
TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VAL_SEQUENCES = ("08",)

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
# A street is drawn whole, with everything that will happen in it: a minute and a half at most.
Keyframes = Annotated[int, Field(ge=1, le=180)]
Scans = Annotated[int, Field(ge=0, le=900)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NuScenesDrive(_Settings):
    """How the world is recorded in the manner of nuScenes: 2 Hz keyframes, six cameras.

    Attributes:
        train_scenes: Scenes of the train split; every 100th is the 1 % label share.
        train_keyframes: Keyframes of an ordinary train scene.
        pretrain_scenes: Train scenes, evenly spaced, that are longer: what students are taught on.
        pretrain_keyframes: Keyframes of those.
        val_scenes: Scenes of the val split.
        val_keyframes: Keyframes of a val scene.
        sweeps_per_keyframe: Non-key scans between two keyframes (nuScenes itself: 9).
        image_height: Pixels.
        image_width: Pixels.
        azimuths: LiDAR columns per turn (nuScenes itself: 1084).
        max_range_m: Where the LiDAR's returns end.
        cameras: Channels that are written; front and back only is the sparse-camera scenario.
    """

    train_scenes: Count = 200
    train_keyframes: Keyframes = 3
    pretrain_scenes: Count = 24
    pretrain_keyframes: Keyframes = 8
    val_scenes: Count = 20
    val_keyframes: Keyframes = 2
    sweeps_per_keyframe: Count = 1
    image_height: Positive = 112
    image_width: Positive = 192
    azimuths: Positive = 480
    max_range_m: float = Field(default=60.0, gt=5)
    cameras: tuple[CameraName, ...] = NUSCENES_CAMERAS

    @property
    def pretrain_indices(self) -> frozenset[int]:
        """Which train scenes are the longer ones."""
        count = min(self.pretrain_scenes, self.train_scenes)
        return frozenset(i * self.train_scenes // count for i in range(count))

    def keyframes(self, split: str, index: int) -> int:
        """Keyframes of scene `index` of `split`."""
        if split == "val":
            return self.val_keyframes
        longer = split == "train" and index in self.pretrain_indices
        return self.pretrain_keyframes if longer else self.train_keyframes


class SemanticKittiDrive(_Settings):
    """How the world is recorded in the manner of SemanticKITTI: 10 Hz, one colour camera.

    Attributes:
        train_scans: Scans of each train sequence (00-07, 09, 10).
        val_scans: Scans of sequence 08.
        image_height: Pixels of image_2.
        image_width: Pixels of image_2.
        azimuths: LiDAR columns per turn (KITTI itself: about 2000).
        max_range_m: Where the LiDAR's returns end.
    """

    train_scans: Scans = 50
    val_scans: Scans = 40
    image_height: Positive = 96
    image_width: Positive = 320
    azimuths: Positive = 360
    max_range_m: float = Field(default=60.0, gt=5)

    def scans(self, split: str) -> int:
        """Scans of every sequence of `split`."""
        return self.val_scans if split == "val" else self.train_scans


class WorldSpec(_Settings):
    """Everything that decides what the built-in world shows: same spec, same bits.

    Attributes:
        seed: Root of every random draw.
        nuscenes: The nuScenes-like drive.
        semantickitti: The SemanticKITTI-like drive.
    """

    seed: Count = 0
    nuscenes: NuScenesDrive = NuScenesDrive()
    semantickitti: SemanticKittiDrive = SemanticKittiDrive()

    @property
    def digest(self) -> str:
        """Content address of the settings and of the world's version."""
        settings: dict[str, Any] = self.model_dump(mode="json")
        return digest({"version": VERSION, "spec": settings})


SPECS = {
    "embedded": WorldSpec(),
    "smoke": WorldSpec(
        nuscenes=NuScenesDrive(
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

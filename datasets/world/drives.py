"""How each data set's manner of driving is sized in the built-in world: settings, nothing else.

Offers one settings class per data set, `NuScenesDrive` first, and `DatasetId`. Sizes only: what a
format fixes (sequence names, classes, sensors) stands in ``datasets/<id>/expedition.py``. Light.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DatasetId = Literal[
    "nuscenes",
    "semantickitti",
    "waymo",
    "scribblekitti",
    "rellis3d",
    "semanticposs",
    "semanticstf",
    "synlidar",
    "daps3d",
    "synth4d",
    "nuscenes_c",
]
"""Every data set that the world is written as."""

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

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
# A street is drawn whole, with everything that will happen in it: a minute and a half at most.
Keyframes = Annotated[int, Field(ge=1, le=180)]
Scans = Annotated[int, Field(ge=0, le=900)]


DETECTION_STRIDE = 5
"""The largest label share of detection keeps every fifth train scene, counted from 1."""


class DriveSettings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_detected(split: str, index: int) -> bool:
    """Whether detectors look at this scene."""
    return split == "val" or (index + 1) % DETECTION_STRIDE == 0


class NuScenesDrive(DriveSettings):
    """How the world is recorded in the manner of nuScenes: 2 Hz keyframes, six cameras.

    Attributes:
        train_scenes: Scenes of the train split; every 100th is the 1 % label share.
        train_keyframes: Keyframes of an ordinary train scene.
        pretrain_scenes: Train scenes, evenly spaced, that are longer: what students are taught on.
        pretrain_keyframes: Keyframes of those.
        val_scenes: Scenes of the val split.
        val_keyframes: Keyframes of a val scene.
        sweeps_per_keyframe: Non-key scans before every keyframe but the first (nuScenes itself: 9).
        pretrain_sweeps: Likewise in the longer scenes, where methods ask for denser clouds.
        detection_sweeps: Likewise, at least, in the scenes that detectors look at: every fifth
            train scene, of which the label shares up to 20 % consist, and all of val. Those scenes
            that are not longer have them before the first keyframe as well: it would be half of
            their keyframes that are without, where it is one of forty in a real recording.
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
    pretrain_sweeps: Count = 2
    detection_sweeps: Count = 4
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
        return self.pretrain_keyframes if self._is_longer(split, index) else self.train_keyframes

    def sweeps(self, split: str, index: int) -> int:
        """Non-key scans before every keyframe but the first of scene `index` of `split`."""
        longer = self._is_longer(split, index)
        sweeps = self.pretrain_sweeps if longer else self.sweeps_per_keyframe
        return max(sweeps, self.detection_sweeps) if _is_detected(split, index) else sweeps

    def leads_in(self, split: str, index: int) -> bool:
        """Whether the first keyframe of scene `index` of `split` has sweeps before it, too."""
        detected = _is_detected(split, index) and not self._is_longer(split, index)
        return detected and self.detection_sweeps > 0

    def _is_longer(self, split: str, index: int) -> bool:
        return split == "train" and index in self.pretrain_indices


class SemanticKittiDrive(DriveSettings):
    """How the world is recorded in the manner of SemanticKITTI: 10 Hz, one colour camera.

    Attributes:
        train_scans: Scans of each train sequence (00-07, 09, 10).
        val_scans: Scans of sequence 08.
        image_height: Pixels of image_2.
        image_width: Pixels of image_2.
        azimuths: LiDAR columns per turn (KITTI itself: about 2000).
        max_range_m: Where the LiDAR's returns end.
    """

    train_scans: Scans = 30
    val_scans: Scans = 24
    image_height: Positive = 96
    image_width: Positive = 320
    azimuths: Positive = 360
    max_range_m: float = Field(default=60.0, gt=5)

    def scans(self, split: str) -> int:
        """Scans of every sequence of `split`."""
        return self.val_scans if split == "val" else self.train_scans


class LidarDrive(DriveSettings):
    """What every spinning LiDAR has.

    Attributes:
        azimuths: LiDAR columns per turn.
        max_range_m: Where the LiDAR's returns end.
    """

    azimuths: Positive = 240
    max_range_m: float = Field(default=60.0, gt=5)


class ScribbleKittiDrive(LidarDrive):
    """As SemanticKITTI, in the same town, with scribbles for training and no camera.

    Attributes:
        train_scans: Scans of each train sequence (00-07, 09, 10).
        val_scans: Scans of sequence 08.
    """

    train_scans: Scans = 20
    val_scans: Scans = 16
    azimuths: Positive = 200


class WaymoDrive(LidarDrive):
    """Segments at 10 Hz, five LiDARs with two returns, five cameras.

    Attributes:
        train_segments: Segments of the training split.
        val_segments: Segments of the validation split.
        frames: Frames of a segment.
        unlabelled: Of them, how many of the first have no point labels.
        side_azimuths: Columns of the four short-range LiDARs (Waymo itself: 600).
        side_beams: Their rows (Waymo itself: 200).
        image_height: Pixels of the three front cameras; the side ones are lower, as 886 : 1280.
        image_width: Pixels.
    """

    train_segments: Count = 56
    val_segments: Count = 8
    frames: Keyframes = 5
    unlabelled: Count = 1
    side_azimuths: Positive = 60
    side_beams: Positive = 20
    image_height: Positive = 80
    image_width: Positive = 120


class Rellis3dDrive(LidarDrive):
    """Off-road at 10 Hz, 64 beams, rows of zeros where nothing came back, one camera.

    Attributes:
        train_scans: Scans of each of the five sequences in ``pt_train.lst``.
        val_scans: Likewise in ``pt_val.lst``.
        test_scans: Likewise in ``pt_test.lst``.
        image_height: Pixels of the camera (RELLIS itself: 1200).
        image_width: Pixels (RELLIS itself: 1920).
        azimuths: LiDAR columns per turn (RELLIS itself: 2048); a beam without echo is a row, too.
    """

    train_scans: Scans = 40
    val_scans: Scans = 5
    test_scans: Scans = 1
    image_height: Positive = 100
    image_width: Positive = 160
    azimuths: Positive = 192


class SemanticPossDrive(LidarDrive):
    """A campus at 10 Hz, 40 beams, many people and cycles.

    Attributes:
        scans: Scans of each of the six sequences.
    """

    scans: Scans = 24


class SemanticStfDrive(LidarDrive):
    """Single frames in fog, snow and rain, 64 beams.

    Attributes:
        train_frames: Frames of the train split.
        val_frames: Frames of the validation split.
        test_frames: Frames of the test split.
    """

    train_frames: Count = 56
    val_frames: Count = 32
    test_frames: Count = 4


class SynLidarDrive(LidarDrive):
    """A clean simulation, 64 beams, thirteen sequences, frame numbers with gaps.

    Attributes:
        train_scans: Scans of each sequence that our split trains on.
        val_scans: Scans of each of 00, 04 and 07.
    """

    train_scans: Scans = 20
    val_scans: Scans = 8
    azimuths: Positive = 220


class Daps3dDrive(LidarDrive):
    """A cleaning robot's sensor, low above the ground, plus and minus 45 degrees.

    Attributes:
        daps1_scans: Scans of each of the eleven sequences of DAPS-1.
        daps2_scans: Scans of each of the three sequences of DAPS-2.
    """

    daps1_scans: Scans = 8
    daps2_scans: Scans = 36
    max_range_m: float = Field(default=50.0, gt=5)


class Synth4dDrive(LidarDrive):
    """A simulator's towns, once by 64 and once by 32 beams.

    Attributes:
        train_frames: Training frames of each of four towns, of the 32-beam set.
        val_frames: Validation frames of each.
        kitti_frames: Training frames of each town of the 64-beam set; validation has a third.
    """

    train_frames: Count = 75
    val_frames: Count = 8
    kitti_frames: Count = 6

    @property
    def kitti_val_frames(self) -> int:
        """Validation frames of each town of the 64-beam set."""
        return -(-self.kitti_frames // 3)


class NuScenesCDrive(DriveSettings):
    """The first validation scenes of the nuScenes-like drive, corrupted in 24 ways.

    Attributes:
        scenes: How many of them.
    """

    scenes: Count = 4

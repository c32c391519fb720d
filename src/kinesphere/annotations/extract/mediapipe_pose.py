"""MediaPipe's pose landmarker as a finder of people in single images.

Bazarevsky et al.: "BlazePose: On-device Real-time Body Pose tracking", 2020, https://arxiv.org/abs/2006.10204.
"""

from __future__ import annotations

import importlib.util
import logging
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinesphere.annotations.tracking import Detections
from kinesphere.clips.modalities.pose.poses import boxes_around
from kinesphere.core.closing import Closing
from kinesphere.core.download import fetch_file, local_file
from kinesphere.core.errors import InvalidSetting, MissingExtra
from kinesphere.core.silence import native_silence

if TYPE_CHECKING:
    from mediapipe.tasks.python.vision import PoseLandmarkerResult

MODELS = ("lite", "full", "heavy")
JOINTS = 33
_URL = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
# A joint less visible than this may lie anywhere: it does not count for the box of a person.
_VISIBLE = 0.3
# Images are enlarged to this height, so that people in small crops fill the detector's input.
_LEAST_PX = 256

log = logging.getLogger("kinesphere.annotations")


@dataclass(frozen=True)
class PoseSettings:
    """How people are looked for.

    Attributes:
        model: A `.task` bundle of MediaPipe's pose landmarker.
        people: Most people at a time.
        min_detection: Lowest confidence, in [0, 1], that a person is there.
        min_presence: Lowest confidence that its landmarks are right.
    """

    model: Path
    people: int = 4
    min_detection: float = 0.4
    min_presence: float = 0.4

    def __post_init__(self) -> None:
        if self.people < 1:
            raise InvalidSetting(f"At least one person is looked for; got people={self.people}.")
        for name in ("min_detection", "min_presence"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSetting(f"{name} lies between 0 and 1; got {getattr(self, name)}.")


def pose_model(name: str) -> Path:
    """The file of a model: `lite`, `full` or `heavy`, downloaded when first used, or a `.task` file.

    Raises:
        InvalidSetting: If it is neither.
        MissingWeights: If it cannot be downloaded; the message says which file to put where.
    """
    if name in MODELS:
        file = f"pose_landmarker_{name}.task"
        here = pose_model_at_hand()
        instead = f", or use what is here: kinesphere predict --pose-model {here}" if here else ""
        return fetch_file(file, f"{_URL}/pose_landmarker_{name}/float16/latest/{file}", beside=instead).path
    path = Path(name)
    if not path.is_file():
        raise InvalidSetting(f"The pose model is {', '.join(MODELS)}, or a .task file; got {name!r}.")
    return path


def pose_model_at_hand(first: str | None = None) -> str | None:
    """The name of a model whose file is on this machine, so that nothing has to be downloaded.

    Args:
        first: The one that is preferred; the others follow, from the best known to the rest.

    Returns:
        `full`, `heavy` or `lite`; None where no file is here, or MediaPipe is not installed.
    """
    if not _is_installed("mediapipe"):
        return None
    order = dict.fromkeys((*([first] if first in MODELS else []), "full", "heavy", "lite"))
    return next((name for name in order if _is_whole(local_file(f"pose_landmarker_{name}.task"))), None)


def _is_whole(file: Path | None) -> bool:
    """Whether a bundle is there to its end; of one that nobody named and that is not, a warning is all."""
    if file is None:
        return False
    whole = zipfile.is_zipfile(file)
    if not whole:
        _warn_of(file)
    return whole


@cache
def _warn_of(file: Path) -> None:
    log.warning("%s is not used: it is damaged, or no pose landmarker; get it again.", file)


def _is_installed(package: str) -> bool:
    """Whether a package is there, without the seconds that its import takes."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # imported already, from no file
        return True


def require_mediapipe(what: str = "Poses") -> None:
    """Does nothing where poses, or masks, can be extracted.

    Raises:
        MissingExtra: If MediaPipe is not installed.
    """
    try:
        import mediapipe  # noqa: F401 (its presence is the question)
    except ImportError as error:
        raise MissingExtra(
            f"{what} are extracted by MediaPipe, which is not usable here ({error}); "
            "pip install 'kinesphere[pose]'."
        ) from error


class MediaPipeTask(Closing):
    """A network that is freed when the block of its `with` ends."""

    _task: Any

    def close(self) -> None:
        """Free the network."""
        self._task.close()


class PoseFinder(MediaPipeTask):
    """Finds people and their 33 landmarks in images; close it after use.

    Args:
        settings: What to look for, with which model.

    Raises:
        MissingExtra: If MediaPipe is not installed.
        InvalidSetting: If the model is no pose landmarker.
    """

    def __init__(self, settings: PoseSettings) -> None:
        require_mediapipe()
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image = mediapipe.Image
        self._format = mediapipe.ImageFormat.SRGB
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(settings.model)),
            running_mode=vision.RunningMode.IMAGE,
            num_poses=settings.people,
            min_pose_detection_confidence=settings.min_detection,
            min_pose_presence_confidence=settings.min_presence,
        )
        try:
            with native_silence():
                self._task = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise InvalidSetting(
                f"{settings.model} is no pose landmarker of MediaPipe: {error}; get it again, or name "
                "another."
            ) from error
        self.version = f"MediaPipe {mediapipe.__version__} {settings.model.stem}"

    def find(self, image: np.ndarray, box: np.ndarray | None = None) -> Detections:
        """The people in an image, or in a part of it.

        Args:
            image: uint8 RGB `(H, W, 3)`.
            box: `(4,)` left, top, right, bottom px of the part; None for the whole image.

        Returns:
            N people with 33 joints in pixels of the whole image, and in metres about their hips.
        """
        height, width = image.shape[:2]
        left, top, right, bottom = _whole(box, height, width)
        part = image[top:bottom, left:right]
        if min(part.shape[:2]) < _LEAST_PX:
            import cv2

            scale = _LEAST_PX / min(part.shape[:2])
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        result = self._task.detect(self._image(self._format, np.ascontiguousarray(part)))
        return _detections(result, left, top, right - left, bottom - top)


def _whole(box: np.ndarray | None, height: int, width: int) -> tuple[int, int, int, int]:
    """A box in whole pixels, at least 8 px wide and high, inside the image."""
    if box is None:
        return 0, 0, width, height
    left, top = (int(np.clip(np.floor(v), 0, n - 8)) for v, n in zip(box[:2], (width, height), strict=True))
    right = int(np.clip(np.ceil(box[2]), left + 8, width))
    bottom = int(np.clip(np.ceil(box[3]), top + 8, height))
    return left, top, right, bottom


def _detections(result: PoseLandmarkerResult, left: int, top: int, width: int, height: int) -> Detections:
    people, spaces = result.pose_landmarks, result.pose_world_landmarks
    values = np.array([[(p.x, p.y, p.visibility) for p in person] for person in people], np.float32)
    values = values.reshape(-1, JOINTS, 3)
    world = np.array([[(p.x, p.y, p.z) for p in person] for person in spaces], np.float32)
    # Landmarks are fractions of the image; our pixels count from the middle of the first one.
    keypoints = values[..., :2] * np.array([width, height], np.float32)
    keypoints += np.array([left - 0.5, top - 0.5], np.float32)
    scores = values[..., 2].clip(1e-3, 1)
    boxes = boxes_around(keypoints[None], np.where(scores > _VISIBLE, scores, 0)[None])[0]
    seen = np.isfinite(boxes).all(-1)
    return Detections(keypoints, scores, boxes, world.reshape(-1, JOINTS, 3))[seen]

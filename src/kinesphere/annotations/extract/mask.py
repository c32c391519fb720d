"""Mask files from videos, by MediaPipe: where people are in every frame.

Two networks to choose from. `selfie` looks at the whole image at 256x256 pixels (MediaPipe's model card
"Selfie Segmentation", 2021); it is made for people near the camera. `pose` is the mask of MediaPipe's pose
landmarker, which looks at each person by itself: sharper on people who are small in the image, and slower.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kinesphere.annotations.extract.mediapipe_pose import MediaPipeTask, pose_model, require_mediapipe
from kinesphere.annotations.extract.tflite_metadata import with_metadata
from kinesphere.annotations.extract.unfinished import made_of, unfinished
from kinesphere.clips.geometry import Size, shrunk
from kinesphere.clips.modalities.mask.file import SUFFIX, MaskFile, encode_masks, write_masks
from kinesphere.clips.plane_file import SEGMENT
from kinesphere.core.download import fetch_file
from kinesphere.core.errors import InvalidSetting
from kinesphere.video import Video

_SELFIE = "selfie_segmentation.tflite"
_SELFIE_URL = f"https://storage.googleapis.com/mediapipe-assets/{_SELFIE}?generation=1661875931201364"
_SELFIE_SHA256 = "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27"
# Masks are smooth: they need no more pixels than this.
_SHORT_SIDE_PX = 256
_BLOCK = 32
# Somebody is there if that fraction of a frame is surely a person.
_SOMEBODY = 0.002


def mask_model(name: str) -> Path:
    """The file of a model: `selfie` or `pose`, downloaded when first used, or a `.tflite` or `.task` file.

    Raises:
        InvalidSetting: If it is none of these.
        MissingWeights: If it cannot be downloaded; the message says which file to put where.
    """
    if name == "selfie":
        return fetch_file(_SELFIE, _SELFIE_URL, _SELFIE_SHA256).path
    if name == "pose":
        return pose_model("full")
    path = Path(name)
    if not path.is_file() or path.suffix not in (".tflite", ".task"):
        raise InvalidSetting(f"The mask model is selfie, pose, or a .tflite or .task file; got {name!r}.")
    return path


@dataclass(frozen=True)
class MaskExtractor:
    """Finds the people in every frame of a video.

    Attributes:
        model: A segmentation model (`.tflite`) or pose landmarker (`.task`) of MediaPipe.
        people: Most people at a time, for a pose landmarker.
    """

    model: Path
    people: int = 4

    def __post_init__(self) -> None:
        if self.people < 1:
            raise InvalidSetting(f"At least one person is looked for; got people={self.people}.")

    @property
    def suffix(self) -> str:
        """`.mask.npz`."""
        return SUFFIX

    @property
    def _max_people(self) -> int | None:
        """How many people the model tells apart; None for one that sees all at once."""
        return self.people if self.model.suffix == ".task" else None

    def differs(self, path: Path) -> str | None:
        """What about a mask file is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        file = MaskFile.open(path)
        if self.model.stem not in file.origin:
            return f"holds masks by {file.origin}, not by {self.model.stem}"
        if file.max_people not in (None, self._max_people):
            return f"holds at most {file.max_people} people at a time, not {self._max_people}"
        return None

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the masks of a video; a remark if nobody was seen.

        Raises:
            VideoError: If the video cannot be decoded.
            MissingExtra: If MediaPipe is not installed.
        """
        with Video.open(video, threads=1) as source, PeopleFinder(self.model, self.people) as finder:
            about = made_of(self, finder.version, files=[self.model, video])
            return write_found(source, video, finder, target, self._max_people, about)


class MaskFinder(Protocol):
    """What finds the pixels of people in images."""

    @property
    def version(self) -> str: ...

    def find(self, image: np.ndarray) -> np.ndarray: ...


def write_found(
    source: Video, video: Path, finder: MaskFinder, target: Path, max_people: int | None, about: str
) -> str | None:
    """Write the masks of an open video; a remark if nobody was seen.

    Args:
        source: The open video.
        video: Its file.
        finder: What finds people.
        target: Where to.
        max_people: Maximum number of people that are distinguished, if that is limited.
        about: What decides on the masks: the video and what finds people; parts of something else are not
            taken.

    Raises:
        VideoError: If the video cannot be decoded.
    """
    size, begins = shrunk(source.size, _SHORT_SIDE_PX), source.frame_times()
    with unfinished(target, about) as parts:
        for start in range(len(parts) * SEGMENT, len(begins), SEGMENT):
            end = min(start + SEGMENT, len(begins))
            seen: list[bool] = []
            made = encode_masks(_found(source, finder, begins[start:end], size, seen), size)
            part = {"video": np.frombuffer(made, np.uint8), "seen": np.array(sum(seen))}
            parts.add(part, end / len(begins))
        done = list(parts)
        write_masks(
            target,
            encoded=[part["video"].tobytes() for part in done],
            count=len(begins),
            size=size,
            origin=finder.version,
            max_people=max_people,
            of=video,
        )
    return None if any(part["seen"] for part in done) else "nobody was found in any frame"


def _found(
    source: Video, finder: MaskFinder, times: np.ndarray, size: Size, seen: list[bool]
) -> Iterator[np.ndarray]:
    """The masks of some frames; whether anybody is in them is added to `seen`."""
    for start in range(0, len(times), _BLOCK):
        frames = source.frames_at(times[start : start + _BLOCK], size=size)
        for frame in np.asarray(frames.data).transpose(0, 2, 3, 1):
            mask = finder.find(np.ascontiguousarray(frame))
            seen.append(bool((mask > 127).mean() > _SOMEBODY))
            yield mask


class PeopleFinder(MediaPipeTask):
    """Finds the pixels of people in images; close it after use.

    Args:
        model: See `MaskExtractor`.
        people: See `MaskExtractor`.

    Raises:
        MissingExtra: If MediaPipe is not installed.
        InvalidSetting: If the model is none of MediaPipe's.
    """

    def __init__(self, model: Path, people: int = 4) -> None:
        require_mediapipe("Masks")
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image: Any = mediapipe.Image
        self._format = mediapipe.ImageFormat.SRGB
        self._poses = model.suffix == ".task"
        self.version = f"MediaPipe {mediapipe.__version__} {model.stem}"
        try:
            if self._poses:
                self._task = vision.PoseLandmarker.create_from_options(
                    vision.PoseLandmarkerOptions(
                        base_options=BaseOptions(model_asset_path=str(model)),
                        num_poses=people,
                        output_segmentation_masks=True,
                    )
                )
            else:
                self._task = vision.ImageSegmenter.create_from_options(
                    vision.ImageSegmenterOptions(
                        base_options=BaseOptions(model_asset_buffer=with_metadata(model.read_bytes())),
                        output_confidence_masks=True,
                    )
                )
        except (RuntimeError, ValueError, OSError, struct.error) as error:
            raise InvalidSetting(f"{model} is no model of people for MediaPipe: {error}") from error

    def find(self, image: np.ndarray) -> np.ndarray:
        """The people in an image.

        Args:
            image: uint8 RGB `(H, W, 3)`.

        Returns:
            uint8 `(H, W)`: 255 where somebody surely is.
        """
        packed = self._image(self._format, image)
        if self._poses:
            masks = self._task.detect(packed).segmentation_masks or ()
        else:
            # Of several classes the first is the background.
            found = self._task.segment(packed).confidence_masks
            masks = found if len(found) == 1 else found[1:]
        result = np.zeros(image.shape[:2], np.uint8)
        for mask in masks:
            certainty = mask.numpy_view().reshape(result.shape)
            np.maximum(result, np.round(255 * certainty).astype(np.uint8), out=result)
        return result

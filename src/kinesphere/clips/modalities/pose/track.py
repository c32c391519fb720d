"""`PoseTrack`: a pose file in the place of a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import Frames


class PoseTrack:
    """A pose file in the place of a video: it has times, and no pictures.

    Args:
        path: A `.pose.npz` file.

    Raises:
        InvalidAnnotation: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.source = str(path)
        self._poses = read_poses(path)

    @property
    def size(self) -> Size:
        """`(H, W)` of the pictures that the joints refer to; (1, 1) for joints in space."""
        return self._poses.frame_size or (1, 1)

    @property
    def fps(self) -> Fraction | None:
        """Poses per second, if known."""
        return Fraction(self._poses.fps).limit_denominator(100_000) if self._poses.fps else None

    @property
    def duration_s(self) -> float | None:
        """To the end of the last pose, or None if their rate is not known."""
        return float(self._poses.times[-1]) + 1 / self._poses.fps if self._poses.fps else None

    @property
    def tolerance_s(self) -> float:
        """Times are exact."""
        return 0.0

    @property
    def damage(self) -> list[str]:
        """Nothing that would be known."""
        return []

    def frame_times(self) -> np.ndarray:
        """`(N,)` when the poses were taken, in seconds."""
        return self._poses.times

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """Refuses.

        Raises:
            UnreadableVideo: Always.
        """
        raise UnreadableVideo(
            f"{self._path} holds poses and no pictures; list the video itself to get those."
        )

    def beside(self, modality: str) -> Poses | None:
        """The joints of the people (see `clips.modality.beside`)."""
        return self._poses if modality == "pose" else None

    def close(self) -> None:
        """Nothing is open."""

"""`PoseTrack`: a pose file in the place of a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.file import open_poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import Frames


class PoseTrack:
    """A pose file in the place of a video: it has times, and no frames.

    Attributes are those of a `VideoSource`; joints in space have the size (1, 1).

    Args:
        path: A `.pose.npz` file.

    Raises:
        InvalidAnnotation: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._poses = poses = open_poses(path)
        self.source = str(path)
        self.size = poses.frame_size or (1, 1)
        self.fps = Fraction(poses.fps).limit_denominator(100_000) if poses.fps else None
        self.duration_s = float(poses.times[-1]) + 1 / poses.fps if poses.fps else None
        self.tolerance_s = 0.0  # times are exact
        self.damage: list[str] = []

    def frame_times(self) -> np.ndarray:
        """`(N,)` when the poses were taken, in seconds."""
        return self._poses.times

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """Refuses.

        Raises:
            UnreadableVideo: Always.
        """
        raise UnreadableVideo(f"{self._path} holds poses and no frames; list the video itself to get those.")

    def beside(self, modality: str) -> StoredPoses | None:
        """The joints of the people (see `clips.modality.beside`)."""
        return self._poses if modality == "pose" else None

    def close(self) -> None:
        """Nothing is open."""

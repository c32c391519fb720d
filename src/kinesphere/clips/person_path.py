"""`PersonPath`: where one person of a video is, frame after frame; `Cut`: the part of frames that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.core.short_repr import short_repr


@dataclass(frozen=True, eq=False, repr=False)
class PersonPath:
    """The boxes of one person over N consecutive frames of a video.

    Attributes:
        identity: Number of the person; one person may have several paths, one after the other.
        first: Row of the first of these frames among those of the video.
        times: `(N,)` float64 seconds at which the frames begin.
        boxes: `(N, 4)` float64 left, top, right, bottom px, inside the picture.
    """

    identity: int
    first: int
    times: np.ndarray
    boxes: np.ndarray

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Cut:
    """A rectangle of the frames of a video in the place of whole frames, the same in all of them.

    Attributes:
        left: Of its left edge, px from that of the frame; may lie outside.
        top: Of its upper edge.
        width: In pixels of the video.
        height: In pixels of the video.
        size: `(H, W)` of what is made of it.
    """

    left: float
    top: float
    width: float
    height: float
    size: Size

    def points(self, points: np.ndarray) -> np.ndarray:
        """Pixels `(..., 2)` of the video as pixels of what is made of it; both count from centres."""
        scale = np.array([self.size[1] / self.width, self.size[0] / self.height])
        corner = np.array([self.left, self.top])
        moved: np.ndarray = (points + 0.5 - corner) * scale - 0.5
        return moved.astype(points.dtype)

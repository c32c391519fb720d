"""What is drawn over the frames of an annotated video, beneath the labels: motion, skeletons."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from kinesphere.clips.modalities.flow.draw import colour_wheel
from kinesphere.clips.modalities.flow.methods import estimator, grey
from kinesphere.clips.modalities.pose.draw import draw_poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import FlowMethod

# Flow is computed at this short side; its colours need no more detail.
_SHORT_SIDE_PX = 256
# Motion per frame that has full colour, as a fraction of the short side.
_LONGEST = 0.03


class Overlay(Protocol):
    """Draws on the frames of one video, which come in order."""

    def draw(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The uint8 RGB frame `(H, W, 3)` with something drawn on it; the given one may be changed."""
        ...


class FlowOverlay:
    """Tints what moves with the colours of the flow wheel; what stands still keeps its own.

    The motion shown is the one that led to the frame.

    Args:
        method: How motion is estimated.
    """

    def __init__(self, method: FlowMethod = "dis") -> None:
        self._estimate = estimator(method)
        self._before: np.ndarray | None = None

    def draw(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """See `Overlay.draw`."""
        height, width = frame.shape[:2]
        scale = min(1.0, _SHORT_SIDE_PX / min(height, width))
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (now,) = grey(small[None])
        before, self._before = self._before, now
        if before is None:
            return frame
        tint = colour_wheel(self._estimate(before, now), _LONGEST * min(now.shape))
        tint = cv2.resize(tint, (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(frame, tint, scale=1 / 255)


class PoseOverlay:
    """Draws the skeletons of the people, one hue and one number per person.

    Args:
        poses: Poses of the video, in pixels.

    Raises:
        InvalidAnnotation: If they are joints in space.
    """

    def __init__(self, poses: StoredPoses) -> None:
        poses[:1].in_pixels()  # refuses joints in space at once
        self._poses = poses
        self._skeleton = SKELETONS.get(poses.skeleton)

    def draw(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """See `Overlay.draw`."""
        height, width = frame.shape[:2]
        margin_s = 2 * self._poses.holds_s
        near = self._poses.during((time_s - margin_s, time_s + margin_s)).resized((height, width))
        (joints,) = near.joints_at(np.array([time_s]))
        draw_poses(frame, joints, self._skeleton, tracks=near.tracks)
        return frame

"""Cameras of this machine as a `Feed`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

from kinesphere.live.feed import Arrival, Picture
from kinesphere.live.settings import LiveSettings
from kinesphere.video import Camera
from kinesphere.video.decode import Frame


class CameraFeed:
    """A camera by its number.

    Args:
        device: Its number, counted from 0.
        settings: How long to wait for what.
    """

    ends = False

    def __init__(self, device: int, settings: LiveSettings) -> None:
        self.device, self.settings = device, settings
        self.name = f"camera {device}"
        self.fps: Fraction | None = None

    def connect(self) -> CameraConnection:
        """See `Feed.connect`."""
        camera = Camera.open(self.device, timeout_s=self.settings.frozen_s)
        self.fps = camera.fps
        return CameraConnection(camera)


class CameraConnection:
    """An open camera; its times are those at which its driver gave the frames."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._frames: Iterator[Frame] = camera.stream()
        self._offset_s: float | None = None

    def read(self) -> Arrival | None:
        """See `Connection.read`."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        # Whichever frame came quickest tells best; the camera's clock is that of this machine.
        offset_s = time.monotonic() - frame.time_s
        self._offset_s = offset_s if self._offset_s is None else min(offset_s, self._offset_s)
        pixels = frame.data.transpose(1, 2, 0)
        return Arrival(Picture.of(pixels), frame.time_s, self._offset_s + frame.time_s, "raw")

    def abandon(self) -> None:
        """See `Connection.abandon`; a camera gives a frame or times out by itself."""

    def close(self) -> None:
        """See `Connection.close`."""
        self._camera.close()

"""Cameras, behind the interface that files have; and one function that opens either."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidSetting, SourceTimeout, UnreadableVideo
from kinesphere.video.decode import Frame, Video


class Camera(Closing):
    """A live camera. Its clock starts with the first frame that is read.

    A thread keeps only the newest frame, so that a slow consumer sees the present and not a backlog.
    """

    def __init__(self, device: int, capture: cv2.VideoCapture, timeout_s: float) -> None:
        self.device = device
        self.timeout_s = timeout_s
        self._capture = capture
        self._newest: queue.Queue[tuple[float, np.ndarray] | None] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._grab, name=f"camera-{device}", daemon=True)
        self._thread.start()
        try:
            self._first: tuple[float, np.ndarray] | None = self._next()
        except BaseException:
            self.close()
            raise
        self._zero_s = self._first[0]
        self._size = self._first[1].shape[:2]

    @classmethod
    def open(
        cls,
        device: int = 0,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        timeout_s: float = 10.0,
    ) -> Camera:
        """Open a camera.

        Args:
            device: Its number, counted from 0.
            size: `(H, W)` to ask of the driver, which may give another; see `Camera.size`.
            fps: Frames per second to ask of the driver.
            timeout_s: Longest wait for a frame.

        Raises:
            UnreadableVideo: If there is no such camera, or it is in use.
            SourceTimeout: If it gives no frame in time.
            InvalidSetting: If an argument is out of range.
        """
        if device < 0 or timeout_s <= 0:
            raise InvalidSetting(
                f"A camera has a number from 0 on and a positive timeout_s; got {device} and {timeout_s}."
            )
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(
            0
        )  # silent: it would tell of each way to open a camera that is not here
        try:
            capture = cv2.VideoCapture(device)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not capture.isOpened():
            capture.release()
            raise UnreadableVideo(
                f"Camera {device} does not open; check that it is connected, allowed and not in use."
            )
        if size is not None:
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)
        return cls(device, capture, timeout_s)

    def close(self) -> None:
        """Stop the camera."""
        self._stop.set()
        self._thread.join(timeout=self.timeout_s)
        self._capture.release()

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` in pixels of the frames as they come."""
        return self._size

    @property
    def fps(self) -> Fraction:
        """Frames per second by the driver; 30 where it does not tell."""
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        return Fraction(stated).limit_denominator(1001) if 0 < stated <= 1000 else Fraction(30)

    def stream(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        fps: float | Fraction | None = None,
    ) -> Iterator[Frame]:
        """Frames as they come, each with the time at which it was taken.

        Args:
            start_s: Frames before this time on the camera's clock are passed over.
            end_s: Time at which to stop; None to go on for ever.
            size: `(H, W)` in pixels to resize to.
            fps: Highest number of frames per second to give.

        Raises:
            SourceTimeout: If no frame comes in time.
            UnreadableVideo: If the camera goes away.
            InvalidSetting: If the span or rate makes no sense.
        """
        if start_s < 0 or (end_s is not None and end_s <= start_s):
            raise InvalidSetting(
                f"A span runs from start to a later end, in seconds; got {start_s} to {end_s}."
            )
        if fps is not None and fps <= 0:
            raise InvalidSetting(f"fps must be positive; got {fps}.")
        return self._stream(start_s, end_s, size, None if fps is None else float(fps))

    def _stream(
        self, start_s: float, end_s: float | None, size: tuple[int, int] | None, fps: float | None
    ) -> Iterator[Frame]:
        due_s = start_s
        while True:
            taken_s, pixels = self._first or self._next()
            self._first = None
            time_s = taken_s - self._zero_s
            if end_s is not None and time_s >= end_s:
                return
            if time_s < due_s:
                continue
            if fps is not None:
                due_s += (int((time_s - due_s) * fps) + 1) / fps
            if size is not None:
                pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            yield Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).transpose(2, 0, 1), time_s)

    def _next(self) -> tuple[float, np.ndarray]:
        try:
            taken = self._newest.get(timeout=self.timeout_s)
        except queue.Empty:
            raise SourceTimeout(
                f"Camera {self.device} gave no frame within {self.timeout_s:g} s; reconnect it, "
                "or allow more with timeout_s."
            ) from None
        if taken is None:
            raise UnreadableVideo(f"Camera {self.device} stopped giving frames; reconnect it.")
        return taken

    def _grab(self) -> None:
        while not self._stop.is_set():
            given, pixels = self._capture.read()
            if not given or pixels is None:
                self._replace(None)
                return
            self._replace((time.monotonic(), pixels))

    def _replace(self, taken: tuple[float, np.ndarray] | None) -> None:
        try:
            self._newest.put_nowait(taken)
        except queue.Full:
            # The consumer may have emptied it meanwhile; then there is simply space.
            with contextlib.suppress(queue.Empty):
                self._newest.get_nowait()
            self._newest.put_nowait(taken)


FrameSource = Video | Camera
"""What shows frames one after another."""


def open_source(
    source: int | str | Path | bytes, *, timeout_s: float = 10.0, threads: int | None = None
) -> FrameSource:
    """Open a camera by its number (`0` or `"0"`), else a file, bytes or URL as a `Video`.

    Raises:
        UnreadableVideo: If it cannot be opened.
        SourceTimeout: If it gives no frame in time.
        InvalidSetting: If an argument is out of range.
    """
    if isinstance(source, int):
        return Camera.open(source, timeout_s=timeout_s)
    if isinstance(source, str) and source.isdecimal() and not Path(source).exists():
        return Camera.open(int(source), timeout_s=timeout_s)
    return Video.open(source, timeout_s=timeout_s, threads=threads)

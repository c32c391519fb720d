"""Cameras, played by a stand-in for the driver."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting, SourceTimeout, UnreadableVideo
from kinesphere.video import Camera, open_source


class Driver:
    """Gives blue pictures (BGR) at `rate`, then fails, or keeps silent."""

    opened = True
    count = 1000
    silent_s = 0.0

    def __init__(self, device: int) -> None:
        self.device = device
        self.given = 0
        self.asked: dict[int, float] = {}

    def isOpened(self) -> bool:
        return self.opened

    def set(self, key: int, value: float) -> None:
        self.asked[key] = value

    def get(self, key: int) -> float:
        return self.asked.get(key, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(self.silent_s or 0.004)
        self.given += 1
        if self.given > self.count:
            return False, None
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[..., 0] = 255
        return True, picture

    def release(self) -> None:
        self.opened = False


@pytest.fixture
def driver(monkeypatch):
    kind = type("Driver", (Driver,), {})
    monkeypatch.setattr(cv2, "VideoCapture", kind)
    return kind


def test_a_camera_streams_rgb_at_the_size_asked_for(driver):
    with open_source("0") as camera:
        assert isinstance(camera, Camera)
        assert (camera.size, camera.fps) == ((40, 60), 30)
        frames = [frame for frame, _ in zip(camera.stream(size=(20, 30)), range(5), strict=False)]
    assert all(frame.data.shape == (3, 20, 30) for frame in frames)
    assert frames[0].data[:, 0, 0].tolist() == [0, 0, 255]
    times = [frame.time_s for frame in frames]
    assert times[0] == 0.0
    assert times == sorted(times)


def test_a_camera_stops_and_thins_out(driver):
    with Camera.open(0, size=(40, 60), fps=250) as camera:
        assert camera.fps == 250
        times = [frame.time_s for frame in camera.stream(0.02, 0.15, fps=50)]
    assert 2 <= len(times) <= 7
    assert times[0] >= 0.02
    assert times[-1] < 0.15


def test_a_slow_consumer_sees_the_present(driver):
    with Camera.open(0) as camera:
        frames = camera.stream()
        next(frames)
        time.sleep(0.1)
        next(frames)
        assert next(frames).time_s > 0.08


def test_cameras_that_cannot_be(driver):
    with pytest.raises(InvalidSetting, match="a number from 0 on"):
        Camera.open(-1)
    with Camera.open(0) as camera:
        with pytest.raises(InvalidSetting, match="from start to a later end"):
            camera.stream(1, 0.5)
        with pytest.raises(InvalidSetting, match="fps must be positive"):
            camera.stream(fps=0)
    driver.opened = False
    with pytest.raises(UnreadableVideo, match="Camera 3 does not open"):
        open_source(3)


def test_a_camera_that_goes_away(driver):
    driver.count = 3
    with Camera.open(0) as camera, pytest.raises(UnreadableVideo, match="stopped giving frames"):
        list(camera.stream())


def test_a_camera_that_keeps_silent(driver):
    driver.silent_s = 0.6
    with pytest.raises(SourceTimeout, match=r"gave no frame within 0\.1 s"):
        Camera.open(0, timeout_s=0.1)

"""Streams without a container: frames without times, counted at the rate that their header states."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from kinesphere.core.errors import Assumed
from kinesphere.video import Video, VideoWriter

FRAMES = 40


def raw(path: Path, encoder: str, rate: int) -> Path:
    """A stream in which frame n is of the grey 6 n."""
    with av.open(str(path), "w", format=path.suffix.removeprefix(".")) as container:
        stream = container.add_stream(encoder, rate=rate)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        if encoder == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 6 * number, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "encoder", "rate", "counted", "why"),
    [
        ("a.h264", "libx264", 50, 50, "as its codec's header says"),
        ("a.hevc", "libx265", 30, 30, "as its codec's header says"),
        ("a.h264", "libx264", 25, 25, "where nothing states a rate"),
        ("a.mjpeg", "mjpeg", 30, 25, "where nothing states a rate"),
    ],
)
def test_the_rate_at_which_frames_are_counted_is_said(
    tmp_path: Path, name: str, encoder: str, rate: int, counted: int, why: str
) -> None:
    path = raw(tmp_path / name, encoder, rate)
    for _ in range(2):  # what is known of a file by then is said, too
        with pytest.warns(Assumed, match=f"counted at {counted} a second, {why}.*ffmpeg -framerate"):
            video = Video.open(path)
        with video:
            assert video.frame_times() == pytest.approx(np.arange(FRAMES) / counted)
            assert video.duration_s == pytest.approx(FRAMES / counted)
            shown = video.frames_at(np.array([3, 20, 37]) / counted).data.mean((1, 2, 3))
            assert shown == pytest.approx([18, 120, 222], abs=6)


def test_nothing_is_said_of_a_container_that_states_times(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (96, 128), 30, threads=1) as writer:
        for _ in range(3):
            writer.write(np.zeros((96, 128, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (tmp_path / "a.mp4", raw(tmp_path / "a.m4v", "mpeg4", 15)):
            with Video.open(path) as video:
                assert video.fps in (30, 15)

"""Sizes, shapes and colours of what comes out."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import make, pictures, plain_frames

from kinesphere.video import Video, conversion


def one(source: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    with Video.open(source) as video:
        return video.frames_at([0.0], size).data[0].transpose(1, 2, 0)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize(
    ("codec", "container", "pixel_format"),
    [
        ("libx264", "mp4", "yuv420p"),
        ("libx264", "mp4", "yuvj420p"),
        ("libx264", "mp4", "yuv422p"),
        ("libx264", "mp4", "yuv444p"),
        ("libx264", "mp4", "yuv420p10le"),
        ("libx264", "mp4", "gray"),
        ("mjpeg", "avi", "yuvj422p"),
        ("ffv1", "matroska", "yuv422p12le"),
        ("ffv1", "matroska", "yuva420p"),
        ("ffv1", "matroska", "bgra"),
        ("ffv1", "matroska", "gray16le"),
        ("png", "mov", "rgba"),
        ("rawvideo", "nut", "nv12"),
        ("gif", "gif", "rgb8"),
    ],
)
@pytest.mark.parametrize("size", [None, (37, 51)])
def test_every_pixel_format_agrees_with_swscale(codec, container, pixel_format, size):
    source = make(codec, container, 3, size=(96, 128), pixel_format=pixel_format)
    frame = plain_frames(source)[0]
    reference = frame.to_ndarray(format="rgb24")
    if size:
        reference = cv2.resize(reference, size[::-1], interpolation=cv2.INTER_AREA)
    assert difference(one(source, size), reference) < 2.0


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
def test_colours_follow_the_stream_s_matrix_and_range(matrix, full_range):
    drawn = [
        np.full((32, 32, 3), colour, np.uint8) for colour in ([200, 40, 60], [30, 180, 90], [90, 60, 220])
    ]
    red, blue = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    for pixels in drawn:
        r, g, b = (pixels[0, 0] / 255).tolist()
        y = red * r + (1 - red - blue) * g + blue * b
        cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
        scale = (255, 0, 255) if full_range else (219, 16, 224)
        planes = [y * scale[0] + scale[1], cb * scale[2] + 128, cr * scale[2] + 128]
        frame = av.VideoFrame.from_ndarray(
            np.stack([np.full((32, 32), round(value), np.uint8) for value in planes]), format="yuv444p"
        )
        frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
        out = np.empty((32, 32, 3), np.uint8)
        conversion.rgb(frame, (32, 32), 0, out)
        assert np.abs(out.astype(int) - pixels).max() <= 3


def test_untagged_colours_are_bt601_limited():
    frame = av.VideoFrame.from_ndarray(np.full((3, 16, 16), 128, np.uint8), format="yuv444p")
    out = np.empty((16, 16, 3), np.uint8)
    conversion.rgb(frame, (16, 16), 0, out)
    assert np.abs(out.astype(int) - round((128 - 16) * 255 / 219)).max() <= 1


def test_colour_tags_survive_the_file():
    source = make(colour=(1, 2), pixel_format="yuv420p", count=2)
    assert difference(one(source), pictures(2)[0]) < 6


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_rotation_is_applied_before_the_size_is(rotation_deg):
    signed = rotation_deg - 360 if rotation_deg > 180 else rotation_deg
    upright, turned = make(count=2), make(count=2, rotation_deg=signed)
    with Video.open(turned) as video:
        assert video.info.rotation_deg == rotation_deg
        assert video.size == ((48, 64) if rotation_deg == 180 else (64, 48))
        assert video.info.coded_size == (48, 64)
    assert np.array_equal(one(turned), np.rot90(one(upright), rotation_deg // 90))
    assert one(turned, (20, 10)).shape == (20, 10, 3)


def test_pixel_aspect_widens_the_picture():
    with Video.open(make(count=2, pixel_aspect=Fraction(3, 2))) as video:
        assert video.size == (48, 96)
        assert video.info.pixel_aspect == Fraction(3, 2)
        assert video.frames_at([0.0]).data.shape == (1, 3, 48, 96)


@pytest.mark.parametrize("size", [(45, 63), (47, 64), (48, 61)])
def test_odd_sizes(size):
    source = make("libvpx-vp9", "webm", 2, size=size, options={"deadline": "realtime"})
    assert one(source).shape == (*size, 3)
    assert difference(one(source), pictures(2, size)[0]) < 8


def test_a_size_that_changes_on_the_way_is_brought_to_the_first():
    source = make(container="h264", count=4) + make(container="h264", count=4, size=(96, 128))
    with Video.open(source) as video:
        frames = list(video.stream())
    assert [frame.data.shape for frame in frames] == [(3, 48, 64)] * 8
    large = cv2.resize(pictures(4, (96, 128))[0], (64, 48), interpolation=cv2.INTER_AREA)
    assert difference(frames[0].data.transpose(1, 2, 0), pictures(4)[0]) < 6
    assert difference(frames[4].data.transpose(1, 2, 0), large) < 6


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_shrinking_keeps_the_mean_of_a_ramp(source, target):
    ramp = np.add.outer(np.linspace(0, 120, source[0]), np.linspace(0, 120, source[1])).astype(np.uint8)
    small = conversion.shrink(ramp, *target)
    assert small.shape == target
    assert abs(float(small.mean()) - float(ramp.mean())) < 4


def test_shrinking_does_not_alias():
    """A checkerboard that is finer than the result must turn grey, not into a moiré."""
    board = (np.indices((480, 640)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.ptp(conversion.shrink(board, 128, 171)) <= 1

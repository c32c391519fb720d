"""Writing videos, whole or not at all."""

from __future__ import annotations

import io
import sys
from fractions import Fraction

import numpy as np
import pytest
from makers import pictures

from kinesphere.core.errors import InvalidSetting, UnwritableFile, UnwritableVideo
from kinesphere.video import Video, VideoWriter


@pytest.mark.parametrize(
    ("codec", "name"), [("h264", "a.mp4"), ("h264", "a.mkv"), ("vp9", "a.webm"), ("vp9", "a.mp4")]
)
@pytest.mark.parametrize("size", [(48, 64), (45, 63)])
def test_what_is_written_is_read_again(tmp_path, codec, name, size):
    drawn = pictures(12, size)
    with VideoWriter(tmp_path / name, size, Fraction(30000, 1001), codec, quality=10) as writer:
        for i, frame in enumerate(drawn):
            writer.write(frame if i % 2 else frame.transpose(2, 0, 1))
        assert not (tmp_path / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    even = tuple(n + n % 2 for n in size) if codec == "h264" else size
    with Video.open(tmp_path / name) as video:
        assert (video.size, video.frame_count) == (even, 12)
        assert float(video.fps) == pytest.approx(30000 / 1001, rel=1e-3)
        got = video.frames_at(video.frame_times()).data[:, :, : size[0], : size[1]]
    assert np.abs(got.astype(int) - np.stack(drawn).transpose(0, 3, 1, 2)).mean() < 5


def test_key_frames_come_as_often_as_asked(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 25, keyframe_interval=5, threads=1) as writer:
        for frame in pictures(20):
            writer.write(frame)
    with Video.open(tmp_path / "a.mp4") as video:
        assert video.info.keyframes >= 4


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.mp4"), ("h264", "a.mkv"), ("vp9", "a.webm")])
def test_frames_keep_times_of_their_own(tmp_path, codec, name):
    """As those of a camera are, which come when they come."""
    times = [0.0, 0.04, 0.081, 0.5, 0.511, 0.9, 1.0, 2.0, 2.033]
    with VideoWriter(tmp_path / name, (48, 64), 25, codec) as writer:
        for frame, time_s in zip(pictures(len(times)), times, strict=True):
            writer.write(frame, time_s)
    with Video.open(tmp_path / name) as video:
        assert video.frame_times() == pytest.approx(times, abs=6e-4 if name != "a.mp4" else 6e-6)
        assert video.info.variable_rate


def test_times_that_cannot_be_are_refused(tmp_path):
    frame = pictures(1)[0]
    with pytest.raises(InvalidSetting, match=r"growing times from 0 s on; got 0\.5 s after 0\.5 s"):
        write_at(tmp_path / "a.mp4", frame, 0.5, 0.5)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InvalidSetting, match="growing times"):
            write_at(tmp_path / "a.mp4", frame, wrong)
    with pytest.raises(InvalidSetting, match="a time for every frame or for none"):
        write_at(tmp_path / "a.mp4", frame, 0.5, None)
    assert not list(tmp_path.iterdir())


def write_at(path, frame, *times):
    with VideoWriter(path, (48, 64), 25) as writer:
        for time_s in times:
            writer.write(frame, time_s)


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(InvalidSetting, match="takes uint8"), VideoWriter(path, (48, 64), 25) as writer:
        writer.write(np.zeros(3))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file sizes")
def test_a_disk_that_refuses_is_named_as_one(tmp_path):
    import resource

    def write():
        with VideoWriter(tmp_path / "a.mp4", (48, 64), 25) as writer:
            for frame in pictures(20):
                writer.write(frame)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(UnwritableFile, match=r"a\.mp4 cannot be written: File too large; choose another"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_an_empty_video_is_not_written(tmp_path):
    with (
        pytest.raises(UnwritableVideo, match="would hold no frame; write at least one"),
        VideoWriter(tmp_path / "a.mp4", (48, 64), 25),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(UnwritableVideo, match="check that the folder exists"):
        VideoWriter(tmp_path / "none" / "a.mp4", (48, 64), 25)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.webm", {}, r"A h264 video ends in \.mp4, \.m4v, \.mov, \.mkv; got 'a.webm'"),
        ("a.avi", {"codec": "vp9"}, r"A vp9 video ends in"),
        ("a.mp4", {"codec": "xvid"}, "written as h264 or vp9; got 'xvid'"),
        ("a.mp4", {"size": (1, 64)}, "from 2 to 16384 pixels"),
        ("a.mp4", {"fps": 0}, r"fps must be in \(0, 1000\]"),
        ("a.mp4", {"quality": 60}, "quality must be in 0-51"),
        ("a.mp4", {"preset": "slow"}, "veryfast or ultrafast; got 'slow'"),
        ("a.webm", {"codec": "vp9", "preset": "ultrafast"}, "preset of an H.264 video"),
    ],
)
def test_settings_that_cannot_be(tmp_path, name, settings, message):
    with pytest.raises(InvalidSetting, match=message):
        VideoWriter(tmp_path / name, **({"size": (48, 64), "fps": 25} | settings))


def test_pictures_of_another_shape_are_refused(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", (48, 64), 25)
    with pytest.raises(InvalidSetting, match=r"takes uint8 frames of shape \(48, 64, 3\)"):
        writer.write(np.zeros((48, 60, 3), np.uint8))
    with pytest.raises(InvalidSetting, match="got float64"):
        writer.write(np.zeros((48, 64, 3)))
    writer.write(pictures(1)[0])
    writer.close()
    writer.close()
    with pytest.raises(InvalidSetting, match="is closed; open a new writer"):
        writer.write(pictures(1)[0])


def test_a_video_in_memory_is_the_one_on_disk(tmp_path):
    memory = io.BytesIO()
    for target in (memory, tmp_path / "v.mp4"):
        with VideoWriter(target, (32, 49), 25, quality=12, keyframe_interval=4) as writer:
            for level in range(9):
                writer.write(np.full((32, 49, 3), 20 * level, np.uint8))
    assert memory.getvalue() == (tmp_path / "v.mp4").read_bytes()
    with pytest.raises(UnwritableVideo, match="would hold no frame"), VideoWriter(io.BytesIO(), (32, 48), 25):
        pass

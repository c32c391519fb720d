"""Timestamps are weighed against one another: no frame is lost, repeated or interleaved in silence."""

from __future__ import annotations

import os
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import PictureType
from makers import make, ramp, restamped

from kinesphere.core.errors import DamagedVideo
from kinesphere.video import Video

SIZE = (24, 32)
PLAIN = {"x264-params": "bframes=0:keyint=12"}
B_FRAMES = {"x264-params": "bframes=3:keyint=12"}
EVEN = np.arange(50) / 25
FAULTS = Path(os.environ.get("KINESPHERE_TEST_DATA", "none"), "../faults")


def opened(source: bytes | Path, threads: int = 1) -> Video:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)
        return Video.open(source, threads=threads)


def check(source: bytes | Path, times: np.ndarray, *, threads: int = 1) -> list[str]:
    """All frames come as they were drawn, at these times, streamed or asked for; the damage."""
    with opened(source, threads) as video, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)
        assert video.frame_times() == pytest.approx(times, abs=2e-3)
        streamed = list(video.stream(size=SIZE))
        assert [frame.time_s for frame in streamed] == pytest.approx(video.frame_times())
        assert (np.diff([frame.data.mean() for frame in streamed]) > 0).all()
        order = np.random.default_rng(0).permutation(len(times))
        for wanted in (order[:9], [len(times) - 1], [0], order):
            got = video.frames_at(video.frame_times()[wanted], SIZE)
            assert np.array_equal(got.data, np.stack([streamed[i].data for i in wanted]))
            assert got.times == pytest.approx(video.frame_times()[wanted])
        return video.damage


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("by_ms", [0, 13, 800, -200, 5_000_000])
@pytest.mark.parametrize("options", [PLAIN, B_FRAMES], ids=["plain", "b-frames"])
@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_joined_recordings_come_one_after_another(container, options, by_ms, threads):
    def later(i: int, pts: int, dts: int) -> tuple[int, int]:
        return pts + by_ms, dts + by_ms

    first = restamped(container=container, count=25, options=options)
    if by_ms < 0:
        first = restamped(
            lambda i, pts, dts: (pts - by_ms, dts - by_ms), container=container, count=25, options=options
        )
        by_ms = 0
    second = restamped(later, container=container, count=25, first=25, options=options)
    times = EVEN.copy()
    if container == "matroska" and by_ms > 1000:  # no clock of its container is set anew: a gap
        times[25:] += by_ms / 1000 - 1
    damage = "; ".join(check(first + second, times, threads=threads))
    assert "its clock starts again 1.00 s after the first frame" in damage or "no frame for 4999 s" in damage


@pytest.mark.parametrize("by_ms", [920, 880, 960])
@pytest.mark.parametrize("options", [PLAIN, B_FRAMES], ids=["plain", "b-frames"])
def test_recordings_whose_clocks_overlap_by_a_few_frames_lose_none(options, by_ms):
    first = restamped(count=25, options=options, container="mpegts")
    second = restamped(
        lambda i, pts, dts: (pts + by_ms, dts + by_ms),
        container="mpegts",
        count=25,
        first=25,
        options=options,
    )
    with opened(first + second) as video, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)
        assert video.frame_count == 50
        streamed = [frame.data for frame in video.stream(size=SIZE)]
        assert (np.diff([frame.mean() for frame in streamed]) > 0).all()
        assert np.array_equal(video.frames_at(video.frame_times()[::-1], SIZE).data[::-1], streamed)
        assert video.damage


def test_the_same_recording_twice_is_shown_twice():
    source = restamped(count=25, options=B_FRAMES)
    with opened(source + source) as video, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)
        assert video.frame_times() == pytest.approx(EVEN)
        frames = [frame.data for frame in video.stream(size=SIZE)]
        assert np.array_equal(frames[:25], frames[25:])
        assert np.array_equal(video.frames_at([1.2], SIZE).data[0], frames[30])


def test_many_recordings_are_joined():
    parts = [restamped(count=10, first=10 * n, options=PLAIN) for n in range(5)]
    damage = check(b"".join(parts), EVEN)
    assert any("its clock starts 4 times, first 0.40 s after" in line for line in damage)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("flv", "libx264"), ("avi", "mpeg4")])
def test_a_recording_that_no_player_finds_is_told(container, codec):
    first = make(codec, container, 25)
    with opened(first + make(codec, container, 25)) as video:
        # FFmpeg reads on in AVI, where it can.
        is_lost = video.frame_count == 25
        assert is_lost or (container, video.frame_count) == ("avi", 50)
        told = ["another recording is appended to it and not read; split the file to use that"]
        assert video.damage == (told if is_lost else [])
    with Video.open(first) as video:
        assert video.damage == []


def outlier(number: int, by_ms: int):
    return lambda i, pts, dts: (pts + by_ms if i == number else pts, dts)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "flv"])
@pytest.mark.parametrize("options", [PLAIN, B_FRAMES], ids=["plain", "b-frames"])
@pytest.mark.parametrize(("number", "by_ms"), [(20, 600_000), (20, 4000), (21, 30_000), (49, 600_000)])
def test_one_timestamp_far_ahead_is_replaced(container, options, number, by_ms):
    assert check(restamped(outlier(number, by_ms), container=container, options=options), EVEN)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "flv", "nut"])
def test_a_small_step_ahead_is_replaced_where_no_picture_moves(container):
    damage = check(restamped(outlier(20, 70), container=container, options=PLAIN), EVEN)
    assert any("of 50 timestamps are missing or contradict their neighbours" in line for line in damage)


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
@pytest.mark.parametrize("few", [1, 2])
@pytest.mark.parametrize("at_the_end", [False, True])
def test_few_frames_far_from_all_others_are_moved_there(few, at_the_end, codec):
    times = [40 * n + 600_000 * (n >= (50 - few if at_the_end else few)) for n in range(50)]
    source = make(
        codec,
        "matroska",
        50,
        pixel_format="yuvj420p",
        times=times,
        time_base=Fraction(1, 1000),
        drawn=ramp(50),
        options={"x264-params": "bframes=2:keyint=12"} if codec == "libx264" else {},
    )
    assert check(source, EVEN) == [
        f"{few} of 50 timestamps are missing or contradict their neighbours and were replaced"
    ]
    with opened(source) as video:
        assert (video.start_s, video.fps, video.duration_s) == (0.0, 25, pytest.approx(2.0))


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_an_hour_without_a_picture_is_told_and_read(container):
    def pause(i: int, pts: int, dts: int) -> tuple[int, int]:
        return pts + 3_600_000 * (i >= 25), dts + 3_600_000 * (i >= 25)

    times = EVEN + 3600 * (np.arange(50) >= 25)
    damage = check(restamped(pause, container=container, options=PLAIN), times)
    assert damage == ["no frame for 3600 s from 0.96 s on"]
    with opened(restamped(pause, container=container, options=PLAIN)) as video:
        assert video.fps == 25
        assert video.info.variable_rate


def test_pauses_of_a_variable_rate_are_believed():
    times = np.cumsum([40] * 20 + [30_000] + [40] * 10 + [55_000] + [40] * 8)
    source = make(container="matroska", count=40, times=times.tolist(), time_base=Fraction(1, 1000))
    with Video.open(source) as video:
        assert video.frame_times() == pytest.approx((times - times[0]) / 1000)
        assert video.damage == []


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "flv"])
def test_frames_that_seldom_change_places_are_believed(container):
    def kinds(i: int) -> PictureType:
        return PictureType.B if i in (31, 32, 40) else PictureType.P

    source = restamped(container=container, options={"x264-params": "bframes=2"}, kinds=kinds)
    assert check(source, EVEN) == []


def test_a_slow_rate_is_believed():
    source = make(container="matroska", count=6, times=[0, 70, 140, 210, 280, 350], time_base=Fraction(1))
    with Video.open(source) as video:
        assert video.frame_times().tolist() == [0, 70, 140, 210, 280, 350]
        assert video.damage == []


@pytest.mark.parametrize("before_ms", [400, 1000])
def test_a_clock_of_33_bits_that_runs_over_is_no_damage(before_ms):
    start = 2**33 // 90 - before_ms
    source = restamped(lambda i, pts, dts: (pts + start, dts + start), options=B_FRAMES)
    assert check(source, EVEN) == []


@pytest.mark.skipif(not FAULTS.exists(), reason="KINESPHERE_TEST_DATA has no faults beside it")
@pytest.mark.parametrize(
    "name",
    [
        "joined/same_clock.ts",
        "joined/shifted_clock.ts",
        "timestamp_outlier/first_early.mkv",
        "timestamp_outlier/last_late.mp4",
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_files_that_went_wrong(name, threads):
    assert check(FAULTS / name, EVEN, threads=threads)

"""Time 0 is where the container starts, picture or sound, as every player counts."""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from makers import make, with_sound

from kinesphere.video import Video

SIZE = (12, 16)
PLAIN = {"x264-params": "bframes=0"}
B_FRAMES = {"x264-params": "keyint=12:bframes=3"}
# Container, codec, sound, options, and how much sooner the sound begins by its encoder's delay.
LEADS = [
    ("matroska", "libx264", "aac", PLAIN, 0.0),
    ("matroska", "libx264", "pcm_s16le", B_FRAMES, 0.0),
    ("webm", "libvpx-vp9", "libopus", {"cpu-used": "8"}, 0.0),
    ("mp4", "libx264", "aac", PLAIN, 0.0),
    ("mp4", "libx264", "aac", B_FRAMES, 0.0),
    ("mov", "libx264", "aac", PLAIN, 0.0),
    ("mpegts", "libx264", "mp2", PLAIN, 0.0101),
    ("flv", "libx264", "aac", PLAIN, 0.022),
]


@pytest.mark.parametrize(("container", "codec", "sound", "options", "delay_s"), LEADS)
def test_sound_that_leads_counts(container, codec, sound, options, delay_s):
    source = with_sound(container, codec=codec, sound=sound, options=options, picture_s=1.6)
    with Video.open(source) as video:
        times = video.frame_times()
        assert video.damage == []
        assert video.start_s == video.info.start_s == times[0]
        assert 1.6 - 1e-3 <= times[0] <= 1.6 + delay_s
        assert np.diff(times) == pytest.approx(1 / 25, abs=2e-3)
        assert video.duration_s == pytest.approx(times[0] + 1, abs=2e-3)
        assert (video.frame_count, video.fps) == (25, 25)
        streamed = list(video.stream(size=SIZE))
        assert [frame.time_s for frame in streamed] == pytest.approx(times)
        # The fifth picture, and before there is any the first.
        got = video.frames_at([times[4] + 0.01, 0.0, 0.7], SIZE)
        assert got.times == pytest.approx(times[[4, 0, 0]])
        assert np.array_equal(got.data[0], streamed[4].data)
        later = [frame.time_s for frame in video.stream(1.7, 2.1, size=SIZE)]
        assert later == pytest.approx(times[(times >= 1.7) & (times < 2.1)])


@pytest.mark.parametrize("container", ["matroska", "mp4", "mov"])
def test_a_picture_that_leads_starts_at_0(container):
    with Video.open(with_sound(container, options=PLAIN, sound_s=1.5)) as video:
        assert (video.start_s, video.damage, video.frame_count) == (0.0, [], 25)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "mp4"])
def test_a_clock_that_starts_late_as_a_whole_changes_nothing(container):
    source = with_sound(container, sound="mp2", options=PLAIN, picture_s=7, sound_s=7)
    with Video.open(source) as video:
        assert video.start_s == pytest.approx(0.0, abs=0.012)
        assert video.damage == []


def test_an_avi_that_says_when_its_picture_starts():
    source = bytearray(make("mpeg4", "avi", 25, options={"g": "12", "bf": "2"}))
    at = source.index(b"strh") + 8 + 28
    source[at : at + 4] = struct.pack("<I", 75)
    with Video.open(bytes(source)) as video:
        assert (video.start_s, video.frame_count, video.damage) == (3.0, 25, [])


def test_an_avi_with_a_hole_is_sound():
    source = with_sound("avi", codec="mpeg4", sound="pcm_s16le", options={"bf": "0"}, picture_s=1.6)
    with Video.open(source) as video:
        # Its muxer holds the first picture until the second.
        assert video.frame_times()[[0, 1, -1]] == pytest.approx([0.0, 1.64, 2.56], abs=0.05)
        assert video.damage == []


@pytest.mark.parametrize("frames", [5, 7, 12, 17])
def test_a_trimmed_mp4_is_not_damaged(frames):
    source = make(
        shift=-frames,
        options={"x264-params": "keyint=5:min-keyint=5"},
        muxer={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )
    with Video.open(source) as video:
        assert video.damage == []
        assert (video.start_s, video.frame_count) == (0.0, 40 - frames)


def test_resampling_holds_the_first_picture_while_there_is_sound_alone():
    with Video.open(with_sound("matroska", options=PLAIN, picture_s=1.0)) as video:
        frames = list(video.stream(size=SIZE, fps=10))
    assert len(frames) == 20
    assert {frame.time_s for frame in frames[:11]} == {1.0}


def test_without_a_clock_times_start_at_0():
    with Video.open(make(container="h264", options=B_FRAMES)) as video:
        assert video.start_s == 0.0


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    (tmp_path / "late.mkv").write_bytes(with_sound("matroska", options=B_FRAMES, picture_s=1.6))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/late.mkv"
        running.shutdown()


def test_an_address_has_the_same_clock_and_starts_anew_each_time(address):
    expected = [1.6 + n / 25 for n in range(25)]
    with Video.open(address) as video:
        assert [frame.time_s for frame in video.stream(size=SIZE)] == pytest.approx(expected)
        assert [frame.time_s for frame in video.stream(size=SIZE)] == pytest.approx(expected)
        again = video.stream(size=SIZE)
        first = next(again)
        assert [frame.time_s for frame in video.stream(2.0, 2.1, size=SIZE)] == pytest.approx(
            [2.0, 2.04, 2.08]
        )
        assert video.frames_at([1.6], SIZE).times.tolist() == [1.6]
        assert np.array_equal(video.frames_at([0.0], SIZE).data[0], first.data)
        assert [frame.time_s for frame in video.stream(size=SIZE)] == pytest.approx(expected)


def test_times_are_counted_from_the_microsecond_that_a_container_tells():
    from kinesphere.video.frame_index import zero_tick

    assert zero_tick(Fraction(133_333, 1_000_000), Fraction(1, 90_000)) == 12_000
    assert zero_tick(Fraction(-7, 1000), Fraction(1, 25)) == pytest.approx(-0.175)
    assert zero_tick(None, Fraction(1, 25)) is None

"""However a frame is reached, it is the one that decoding from the start gives, bit for bit."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makers import KINDS, RATE, make, packed_avi, plain_frames

from kinesphere.video import Video

SIZE = (24, 30)
OPEN_GOP = make(**KINDS["mp4, open gop"])


@pytest.fixture(scope="module")
def videos():
    made = {name: make(**kind) for name, kind in KINDS.items()}
    return made | {"xvid avi, packed": packed_avi()}


def check(video: Video, picks: list[np.ndarray]) -> None:
    frames = list(video.stream(size=SIZE))
    times = np.array([frame.time_s for frame in frames])
    assert np.allclose(times, video.frame_times())
    for wanted in picks:
        got = video.frames_at(wanted, SIZE)
        index = np.searchsorted(times, wanted + 1e-6, side="right") - 1
        assert np.array_equal(got.times, times[index])
        assert np.array_equal(got.data, np.stack([frames[i].data for i in index]))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", [*KINDS, "xvid avi, packed"])
def test_frames_at_gives_what_streaming_gives(videos, name, threads):
    with Video.open(videos[name], threads=threads) as video:
        assert video.damage == []
        times = video.frame_times()
        every = np.arange(len(times))
        scattered = np.array([31, 2, 2, 17, 30, 8, 24]) % len(times)
        picks = [times[i] for i in (scattered, every, every[::-1], every[-3:], every[:1])]
        check(video, [*picks, times[every[5:9]] + 0.004, times[::9]])


@pytest.mark.parametrize("name", [*KINDS, "xvid avi, packed"])
def test_streaming_gives_every_frame_of_a_plain_decoder(videos, name):
    plain = plain_frames(videos[name])
    with Video.open(videos[name]) as video:
        frames = list(video.stream())
    assert len(frames) == len(plain)
    for one, ours in zip(plain, frames, strict=True):
        distance = np.abs(one.to_ndarray(format="rgb24").transpose(2, 0, 1) - ours.data.astype(int))
        assert distance.mean() < 2.5


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 1599), min_size=1, max_size=12))
def test_any_times_in_any_order(times_ms):
    wanted = np.array(times_ms) / 1000
    with Video.open(OPEN_GOP) as video:
        check(video, [wanted[:3], wanted])


def test_windows_read_one_after_another_go_on_where_the_last_stopped(videos):
    with Video.open(videos["mp4, one key frame"]) as video:
        whole = video.frames_at(video.frame_times(), SIZE).data
        moves = []
        for start in range(0, 40, 8):
            got = video.frames_at(video.frame_times()[start : start + 8], SIZE)
            assert np.array_equal(got.data, whole[start : start + 8])
            moves.append(video._cursor.moves)
        opened = [b - a for a, b in itertools.pairwise(moves)]
    assert opened == [2, 1, 1, 1]  # the second call shows that it is a series


def test_frames_that_no_time_needs_are_passed_over(videos):
    with Video.open(videos["mp4, b-frames"], threads=1) as video:
        fed = []
        feed = video._cursor._feed
        video._cursor._feed = lambda packet: (fed.append(packet), feed(packet))
        video.frames_at([video.frame_times()[25]])
    assert 0 < len(fed) < 16


def test_an_edit_list_cuts_what_comes_before_it(videos):
    with Video.open(videos["mp4, edit list"]) as video:
        assert (video.frame_count, video.frame_times()[0]) == (33, 0.0)
    with Video.open(videos["mp4, late start"]) as video:
        assert (video.frame_count, video.frame_times()[0]) == (40, 0.0)


def test_variable_rate_keeps_its_times(videos):
    with Video.open(videos["mkv, variable rate"]) as video:
        times = np.array(KINDS["mkv, variable rate"]["times"]) / 1000
        assert np.allclose(video.frame_times(), times - times[0])
        assert video.info.variable_rate is True
        gap = video.frames_at([1.2, 1.5], SIZE)
    assert gap.times == pytest.approx(times[20])


def test_times_rounded_by_the_container_still_find_their_frame():
    source = make(container="matroska", time_base=Fraction(1, RATE))
    with Video.open(source) as video:
        assert np.array_equal(video.frames_at(np.arange(40) / RATE, SIZE).times, video.frame_times())

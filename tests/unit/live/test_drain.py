"""What a source may do, and that reading it goes on: on a clock that nobody waits for."""

from __future__ import annotations

import logging

import pytest
from benchmarks.stamped import read_stamp

from kinesphere.core.errors import UnreadableVideo
from kinesphere.core.text import without_password
from kinesphere.live.settings import LiveSettings

from .worlds import VirtualClock, World, drained


@pytest.mark.parametrize("how", ["cut", "frozen", "still"])
@pytest.mark.parametrize("away_s", [0.5, 5.0, 60.0])
def test_a_source_that_goes_away_is_back_within_three_seconds(
    how: str, away_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    returns_s = 1.0 + away_s
    world = World(VirtualClock(), [(1.0, returns_s, how)], ends_s=returns_s + 6)
    with caplog.at_level(logging.INFO, "kinesphere.live"):
        found = drained(world)
    assert found.error is None
    before = [shown for shown in found.frames if shown.segment == 0]
    after = found.frames[len(before)]
    assert read_stamp(after.picture.rgb())[0] * 0.04 <= returns_s + 3
    kinds = [incident.kind for incident in found.incidents]
    # A silence shorter than what counts as frozen is a gap of the source, told once as well.
    silent = how == "still" and away_s < 2
    assert kinds == (["dropped"] if silent else ["lost" if how == "cut" else "frozen", "back"])
    assert after.segment > before[-1].segment
    assert [shown.number for shown in found.frames] == list(range(len(found.frames)))
    # The clock went on while the source was away; incidents have the number of the next frame.
    passed_s = read_stamp(after.picture.rgb())[1] - read_stamp(before[-1].picture.rgb())[1]
    assert after.time_s - before[-1].time_s == pytest.approx(passed_s, abs=0.1)
    assert {incident.number for incident in found.incidents} == {after.number}
    assert len(caplog.records) == len(kinds)


def test_attempts_become_rarer_but_never_rare() -> None:
    world = World(VirtualClock(), [(2.0, 32.0, "cut")], ends_s=33)
    drained(world)
    waits = [b - a for a, b in zip(world.attempts[1:], world.attempts[2:], strict=False)]
    assert waits[0] < 0.5
    assert max(waits) <= 1.1
    assert len(waits) < 40


def test_a_source_that_breaks_at_once_is_not_asked_all_the_time() -> None:
    outages = [(0.1 + 0.2 * n, 0.1 + 0.2 * n + 0.01, "cut") for n in range(150)]
    world = World(VirtualClock(), outages, ends_s=30)
    drained(world)
    assert len(world.attempts) < 40


def test_a_slow_source_is_waited_for_as_long_as_is_said() -> None:
    """One picture every 5 s, as a camera of a building site sends."""
    found = drained(World(VirtualClock(), frame_s=5.0, ends_s=40), LiveSettings(frozen_s=8))
    assert [shown.time_s for shown in found.frames] == pytest.approx([5.0 * n for n in range(7)])
    still = World(VirtualClock(), [(1.0, 6.0, "still")], ends_s=12)
    assert [each.kind for each in drained(still, LiveSettings(frozen_s=8)).incidents] == ["dropped"]


def test_a_source_may_stay_away_for_an_hour() -> None:
    found = drained(World(VirtualClock(), [(1.0, 3600.0, "cut")], ends_s=3603))
    assert found.error is None
    assert [incident.kind for incident in found.incidents] == ["lost", "back"]


def test_another_size_or_codec_is_told_once() -> None:
    looks = lambda s: ((48, 64) if s < 0.5 else (96, 128), "h264" if s < 1 else "hevc")  # noqa: E731
    found = drained(World(VirtualClock(), looks=looks, ends_s=1.5))
    assert [(each.kind, each.detail) for each in found.incidents] == [
        ("changed", "from 64x48 h264 to 128x96 h264"),
        ("changed", "from 128x96 h264 to 128x96 hevc"),
    ]
    assert sorted({shown.segment for shown in found.frames}) == [0, 1, 2]


def test_a_source_that_never_opened_is_an_error() -> None:
    found = drained(World(VirtualClock(), [(0.0, 9.0, "cut")]))
    assert isinstance(found.error, UnreadableVideo)
    assert found.frames == []


def test_watching_ends_after_its_seconds_even_while_nothing_comes() -> None:
    world = World(VirtualClock(), [(1.0, 1e9, "cut")], ends_s=1e9)
    found = drained(world, LiveSettings(seconds=20))
    assert found.error is None
    assert 20 <= world.clock.s < 23
    assert found.frames[-1].time_s < 1


def test_watching_ends_after_its_seconds_though_no_picture_ever_came() -> None:
    world = World(VirtualClock(), [(0.06, 1e9, "frozen")], ends_s=1e9)
    found = drained(world, LiveSettings(seconds=20))
    assert (found.error, found.frames) == (None, [])
    assert 20 <= world.clock.s < 23


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:p@ss:w@cam.local:554/live", "rtsp://***@cam.local:554/live"),
        ("http://cam/mjpeg?user=me&password=secret&x=1", "http://cam/mjpeg?user=me&password=***&x=1"),
        ("rtsp://cam/a@b", "rtsp://cam/a@b"),
        ("rtsp://cam.local:554/a@b", "rtsp://cam.local:554/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("rtsp://admin:se/c#re?t@cam:554/live", "rtsp://***@cam:554/live"),
        ("rtsp://admin:12/34@cam:554/live", "rtsp://***@cam:554/live"),
        ("clip.mp4", "clip.mp4"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown

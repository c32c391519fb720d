"""One clock for all connections."""

from __future__ import annotations

import pytest

from kinesphere.live.sampler import Sampler
from kinesphere.live.stamps import StreamClock


def times(clock: StreamClock, stamps: list[float | None], arrivals: list[float]) -> list[float | None]:
    found = [clock.stamp(stamp, arrived) for stamp, arrived in zip(stamps, arrivals, strict=True)]
    return [None if each is None else round(each.time_s, 6) for each in found]


def test_time_goes_on_when_stamps_wrap_leap_or_are_missing() -> None:
    arrivals = [10.0, 10.04, 10.08, 10.12, 10.16]
    expected = [0.0, 0.04, 0.08, 0.12, 0.16]
    for stamps in (
        [5.0, 5.04, 5.08, 5.12, 5.16],
        [95443.69, 95443.73, 0.01, 0.05, 0.09],  # 33 bits at 90 kHz wrap around
        [5.0, 5.04, 4e6, 4e6 + 0.04, 4e6 + 0.08],
        [None] * 5,
    ):
        assert times(StreamClock(0.4), stamps, arrivals) == pytest.approx(expected, abs=2e-3)


def test_a_frame_that_comes_again_or_late_is_none() -> None:
    found = times(StreamClock(0.4), [1.0, 1.04, 1.04, 1.0, 1.08], [0.0, 0.04, 0.08, 0.12, 0.16])
    assert found == [0.0, 0.04, None, None, 0.08]


def test_a_clock_set_back_by_less_than_a_second_is_noticed_after_three_frames() -> None:
    stamps: list[float | None] = [1.0, 1.04, 1.08, *(0.5 + 0.04 * n for n in range(6))]
    arrivals = [0.04 * n for n in range(len(stamps))]
    found = times(StreamClock(0.4), stamps, arrivals)
    assert found[:5] == [0.0, 0.04, 0.08, None, None]
    assert found[5:] == pytest.approx([0.2, 0.24, 0.28, 0.32])
    # The last frame again and again, or a burst of those that came already, is none.
    assert times(StreamClock(0.4), [1.0, *[1.04] * 6], arrivals[:7])[2:] == [None] * 5
    burst = times(
        StreamClock(0.4), [1.0, 1.04, 1.08, 1.12, 1.04, 1.08, 1.12], [0, 0.04, 0.08, 0.12, *[0.13] * 3]
    )
    assert burst[4:] == [None] * 3


def test_a_new_connection_goes_on_after_what_passed_here() -> None:
    clock = StreamClock(0.4)
    times(clock, [1.0, 1.04], [20.0, 20.04])
    clock.begin()
    assert times(clock, [0.0, 0.04], [25.04, 25.08]) == [5.04, 5.08]


def test_gaps_are_told_unless_frames_are_usually_as_far_apart() -> None:
    clock, slow = StreamClock(0.4), StreamClock(0.4)
    steps = [0.0, 0.04, 0.08, 0.12, 0.62, 0.66]
    gaps = [clock.stamp(step, step).gap_s for step in steps]  # type: ignore[union-attr]
    assert gaps == pytest.approx([0, 0, 0, 0, 0.5, 0])
    assert all(slow.stamp(float(second), float(second)).gap_s == 0 for second in range(9))  # type: ignore[union-attr]


def test_a_frame_that_took_longer_was_captured_earlier() -> None:
    clock = StreamClock(0.4)
    arrivals = [10.02, 10.06, 10.25, 10.25, 10.18]
    found = [clock.stamp(0.04 * n, arrived) for n, arrived in enumerate(arrivals)]
    captured = [each.captured_s for each in found if each is not None]
    assert captured == pytest.approx([10.02, 10.06, 10.10, 10.14, 10.18])


@pytest.mark.parametrize("fps", [25.0, 24.3, 15.0])
def test_frames_are_picked_by_time_whatever_their_rate(fps: float) -> None:
    sampler, picked = Sampler(), []
    for number in range(int(10 * fps)):
        time_s = number / fps
        if sampler.picks(time_s, 0.2, 1 / fps):
            picked.append(time_s)
    assert len(picked) == 50
    assert all(abs(time_s - 0.2 * n) <= 0.5 / fps + 1e-9 for n, time_s in enumerate(picked))


def test_all_frames_are_picked_of_a_slower_source() -> None:
    sampler = Sampler()
    assert all(sampler.picks(float(second), 0.2, 1.0) for second in range(5))

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from clip_fakes import FakeVideo
from hypothesis import assume, given
from hypothesis import strategies as st

from kinesphere.clips import ClipSpec, Sampling, TemporalJitter, clip_times, windows
from kinesphere.core.errors import InvalidSetting, SpanOutsideVideo

SAMPLINGS = ("64x1x1", "48x3x1", "8x8x1", "16x8x1", "16x1x3", "1x1x1", "uniform5", "uniform16x4", "uniform1")
RATES = (None, 5.0, 15.0, 24.0, 25.0, 30.0, 50.0)
SOURCES = (10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94)


def spec_of(sampling: str, **changes) -> ClipSpec:
    return ClipSpec(Sampling.parse(sampling), (112, 112), **changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames_of(times: np.ndarray, fps: float) -> list[int]:
    return np.floor(times * fps).astype(int).tolist()


@st.composite
def requests(draw, samplings=SAMPLINGS, rates=RATES):
    spec = spec_of(
        draw(st.sampled_from(samplings)),
        fps=draw(st.sampled_from(rates)),
        short_video=draw(st.sampled_from(["loop", "pad"])),
    )
    start_s = draw(st.floats(0, 100))
    span = (start_s, start_s + draw(st.floats(1e-3, 30)))
    return spec, span, draw(st.sampled_from(SOURCES)), draw(st.integers(1, 10))


@given(requests(), st.integers(0, 99) | st.none())
def test_times_lie_inside_the_span_in_order_and_number(request_, seed):
    spec, span, fps, clips = request_
    random = None if seed is None else generator(seed)
    sampled = clip_times(spec, span, fps, 200.0, clips=clips, generator=random)
    assert len(sampled) == clips
    for clip in sampled:
        assert clip.times.shape == (spec.length,)
        assert clip.times.dtype == np.float64
        assert (clip.times >= span[0]).all()
        assert (clip.times < span[1]).all()
        assert 0 <= clip.repeated < spec.length
        fresh = clip.times[: spec.length - clip.repeated]
        assert (np.diff(fresh) >= 0).all()
        if spec.short_video == "pad":
            assert (np.diff(clip.times) >= 0).all()


@given(requests())
def test_without_a_generator_nothing_is_random(request_):
    spec, span, fps, clips = request_
    once, again = (clip_times(spec, span, fps, None, clips=clips) for _ in range(2))
    assert all(np.array_equal(a.times, b.times) for a, b in zip(once, again, strict=True))


@given(requests(), st.integers(0, 99))
def test_a_generator_decides_everything(request_, seed):
    spec, span, fps, _ = request_
    jitter = TemporalJitter(0.5, 0.5)
    once, again = (
        clip_times(spec, span, fps, None, generator=generator(seed), jitter=jitter) for _ in range(2)
    )
    assert all(np.array_equal(a.times, b.times) for a, b in zip(once, again, strict=True))


@given(requests())
def test_testing_is_symmetric(request_):
    """What the clips leave unseen before the first frame, they leave after the last, up to two frames.

    One frame because the span need not begin with a frame, one because an even number has no middle.
    """
    spec, (start_s, end_s), fps, clips = request_
    sampled = clip_times(spec, (start_s, end_s), fps, None, clips=clips)
    assume(not sampled[0].repeated)
    times = np.concatenate([clip.times for clip in sampled])
    before, after = times.min() - start_s, end_s - times.max()
    assert abs(before - after) <= 2 / min(spec.fps or fps, fps) + 1e-3


@given(requests(["16x1x1", "8x4x1", "4x8x3"], [None]))
def test_dense_clips_step_by_the_interval(request_):
    spec, span, fps, clips = request_
    for clip in clip_times(spec, span, fps, None, clips=clips):
        fresh = frames_of(clip.times[: spec.length - clip.repeated], fps)
        assert set(np.diff(fresh)) <= {spec.sampling.interval}


@given(
    st.sampled_from(["16x1x1", "8x4x1", "uniform5"]),
    st.sampled_from([5.0, 10.0, 12.5, 15.0, 25.0, 30.0]),
    st.floats(0, 20),
    st.floats(2, 20),
    st.integers(1, 5),
)
def test_sources_of_different_rates_agree_at_a_fixed_rate(sampling, rate, start_s, length_s, clips):
    spec = spec_of(sampling, fps=rate)
    span = (start_s, start_s + length_s)
    at_25, at_30 = (clip_times(spec, span, fps, None, clips=clips) for fps in (25.0, 30.0))
    for a, b in zip(at_25, at_30, strict=True):
        assert a.repeated == b.repeated
        assert np.abs(a.times - b.times).max() <= 0.25 / 25 + 0.25 / 30 + 1e-4


@given(st.sampled_from(SOURCES), st.integers(1, 400), st.sampled_from(RATES))
def test_times_are_clear_of_frame_changes(fps, frames, rate):
    """Rounding a container's clock to milliseconds does not change which frame is shown."""
    spec = spec_of("uniform8", fps=rate)
    starts = np.arange(frames) / fps
    (clip,) = clip_times(spec, None, fps, frames / fps)
    exact = np.searchsorted(starts, clip.times, side="right")
    rounded = np.searchsorted(np.round(starts, 3), clip.times, side="right")
    assert np.array_equal(exact, rounded)


def test_native_rate_gives_every_frame_of_the_source():
    video = FakeVideo(64, Fraction(30000, 1001))
    (clip,) = clip_times(spec_of("64x1x1"), None, float(video.fps), video.duration_s)
    assert video.numbers(clip.times).tolist() == list(range(64))


@pytest.mark.parametrize(
    ("sampling", "frames", "expected"),
    [
        ("4x1x1", 10, [3, 4, 5, 6]),
        ("3x4x1", 10, [0, 4, 8]),
        ("3x3x1", 11, [2, 5, 8]),
        ("uniform4", 10, [1, 3, 6, 8]),
        ("uniform5", 5, [0, 1, 2, 3, 4]),
    ],
)
def test_centred_clips(sampling, frames, expected):
    (clip,) = clip_times(spec_of(sampling), None, 25, frames / 25)
    assert frames_of(clip.times, 25) == expected
    assert clip.repeated == 0


def test_k_dense_clips_reach_from_the_first_frame_to_the_last():
    clips = clip_times(spec_of("4x1x1"), None, 25, 20 / 25, clips=3)
    assert [frames_of(clip.times, 25)[0] for clip in clips] == [0, 8, 16]


def test_k_uniform_clips_interleave():
    clips = clip_times(spec_of("uniform2"), None, 25, 8 / 25, clips=2)
    assert [frames_of(clip.times, 25) for clip in clips] == [[1, 5], [3, 7]]


def test_the_samplings_own_number_of_clips_is_the_default():
    assert len(clip_times(spec_of("uniform4x3"), None, 25, 4.0)) == 3


@pytest.mark.parametrize(
    ("sampling", "short_video", "expected", "repeated"),
    [
        ("6x1x1", "loop", [0, 1, 2, 3, 0, 1], 2),
        ("6x1x1", "pad", [0, 1, 2, 3, 3, 3], 2),
        ("4x3x1", "loop", [0, 3, 2, 1], 2),
        ("4x3x1", "pad", [0, 3, 3, 3], 2),
        ("uniform6", "loop", [0, 1, 2, 3, 0, 1], 2),
        ("uniform6", "pad", [0, 1, 2, 3, 3, 3], 2),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_short_spans_are_filled_and_counted(sampling, short_video, expected, repeated, training):
    spec = spec_of(sampling, short_video=short_video)
    (clip,) = clip_times(spec, None, 25, 4 / 25, generator=generator() if training else None)
    assert frames_of(clip.times, 25) == expected
    assert clip.repeated == repeated


def test_a_span_shorter_than_a_frame_shows_that_frame():
    (clip,) = clip_times(spec_of("2x1x1"), (0.401, 0.409), 25, 10.0)
    assert frames_of(clip.times, 25) == [10, 10]
    assert clip.repeated == 1


def test_training_reaches_every_start_and_spreads_k_clips():
    random = generator()
    spec = spec_of("4x1x1")
    starts = {
        frames_of(clip_times(spec, None, 25, 0.4, generator=random)[0].times, 25)[0] for _ in range(200)
    }
    assert starts == set(range(7))
    for _ in range(20):
        first, second = clip_times(spec, None, 25, 0.8, clips=2, generator=random)
        assert frames_of(first.times, 25)[0] < 8 <= frames_of(second.times, 25)[0]


def test_uniform_training_draws_from_every_frame_of_each_segment():
    random = generator()
    drawn = [
        frames_of(clip_times(spec_of("uniform2"), None, 25, 0.4, generator=random)[0].times, 25)
        for _ in range(100)
    ]
    assert {frames[0] for frames in drawn} == set(range(5))
    assert {frames[1] for frames in drawn} == set(range(5, 10))


def test_speed_jitter_changes_the_pace_both_ways_and_frame_jitter_keeps_the_order():
    random = generator()
    spec = spec_of("5x4x1")

    def extents(jitter: TemporalJitter) -> list[int]:
        drawn = [
            clip_times(spec, None, 25, 8.0, generator=random, jitter=jitter)[0].times for _ in range(100)
        ]
        assert all((np.diff(times) >= 0).all() for times in drawn)
        return [frames_of(times, 25)[-1] - frames_of(times, 25)[0] for times in drawn]

    steady, faster = extents(TemporalJitter()), extents(TemporalJitter(speed=1.0))
    assert set(steady) == {16}
    assert min(faster) in range(8, 11)
    assert max(faster) in range(28, 33)
    assert len(set(extents(TemporalJitter(frame=1.0)))) > 1


def test_trimming_spreads_uniform_clips_over_a_random_part_of_the_span():
    random = generator()
    jitter = TemporalJitter(trim=0.5)
    drawn = [
        frames_of(
            clip_times(spec_of("uniform8"), None, 25, 4.0, generator=random, jitter=jitter)[0].times, 25
        )
        for _ in range(200)
    ]
    assert all(frames[0] >= 0 and frames[-1] < 100 and sorted(frames) == list(frames) for frames in drawn)
    extents = [frames[-1] - frames[0] for frames in drawn]
    assert 35 <= min(extents) < 50
    assert 85 < max(extents) < 100
    assert min(frames[-1] for frames in drawn) < 60
    assert max(frames[0] for frames in drawn) > 40
    steady = clip_times(spec_of("uniform8"), None, 25, 4.0, jitter=jitter)[0].times
    assert (steady == clip_times(spec_of("uniform8"), None, 25, 4.0)[0].times).all()


def test_a_trimmed_span_that_is_too_short_is_filled_from_its_own_frames():
    random = generator()
    spec = spec_of("uniform8")
    for _ in range(50):
        (clip,) = clip_times(spec, None, 25, 0.32, generator=random, jitter=TemporalJitter(trim=0.9))
        shown = sorted(set(frames_of(clip.times, 25)))
        assert shown == list(range(shown[0], shown[0] + 8 - clip.repeated))
        assert shown[0] >= 0
        assert shown[-1] < 8


def test_jitter_refused():
    with pytest.raises(InvalidSetting, match="Speed jitter is 0 or more"):
        TemporalJitter(speed=-0.1)
    with pytest.raises(InvalidSetting, match="fraction of the interval"):
        TemporalJitter(frame=2)
    with pytest.raises(InvalidSetting, match="Trimming takes a fraction of the span, 0 up to 1; got 1"):
        TemporalJitter(trim=1)


def test_unknown_frame_rate():
    (uniform,) = clip_times(spec_of("uniform4"), (1.0, 3.0), None, None)
    assert uniform.times == pytest.approx([1.25, 1.75, 2.25, 2.75], abs=1e-3)
    (dense,) = clip_times(spec_of("3x1x1", fps=10.0), (0.0, 0.3), None, None)
    assert dense.times == pytest.approx([0.05, 0.15, 0.25])
    with pytest.raises(InvalidSetting, match="set the clip spec's fps"):
        clip_times(spec_of("4x1x1"), (0.0, 1.0), None, None)


def test_extent_of_the_span():
    spec = spec_of("2x1x1")
    assert clip_times(spec, (9.0, 99.0), 25, 10.0)[0].times.max() < 10
    with pytest.raises(SpanOutsideVideo, match="after the end of the video at 10 s"):
        clip_times(spec, (10.0, 12.0), 25, 10.0)
    with pytest.raises(InvalidSetting, match="duration is unknown"):
        clip_times(spec, None, 25, None)
    with pytest.raises(InvalidSetting, match="from start to a later end"):
        clip_times(spec, (2.0, 1.0), 25, 10.0)
    with pytest.raises(InvalidSetting, match="At least one clip"):
        clip_times(spec, None, 25, 10.0, clips=0)


def test_windows_of_ten_seconds_every_five():
    assert windows(20, 10, 5) == [(0, 10), (5, 15), (10, 20)]
    assert windows(22, 10, 5) == [(0, 10), (5, 15), (10, 20), (12, 22)]
    assert windows(10, 10, 5) == [(0, 10)]
    assert windows(4, 10, 5) == [(0, 4)]


@given(st.floats(0.01, 1e4), st.floats(0.5, 60), st.floats(0.01, 1))
def test_windows_cover_the_video_without_gaps_or_a_dropped_tail(duration_s, length_s, overlap):
    stride_s = length_s * overlap
    assume(duration_s / stride_s < 5000)
    spans = windows(duration_s, length_s, stride_s)
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(duration_s)
    for (start, end), (next_start, next_end) in pairwise(spans):
        assert start < next_start <= end + 1e-9
        assert end < next_end + 1e-9
        assert next_start - start <= stride_s * (1 + 1e-5) + 1e-9
    for start, end in spans:
        assert end - start == pytest.approx(min(length_s, duration_s))


def test_windows_refused():
    with pytest.raises(InvalidSetting, match="would leave gaps"):
        windows(10, 2, 3)
    with pytest.raises(InvalidSetting, match="positive duration, length and stride"):
        windows(0, 2, 1)
    with pytest.raises(InvalidSetting, match="A window every 1e-09 s makes more than 2500000 of 4 s"):
        windows(6, 2, 1e-9)


@given(requests(), st.integers(1, 512))
def test_a_video_whose_pictures_start_later_is_sampled_alike(request_, lead_s):
    spec, span, fps, clips = request_
    early = clip_times(spec, span, fps, 200.0, clips=clips)
    later = (span[0] + lead_s, span[1] + lead_s)
    late = clip_times(spec, later, fps, 200.0 + lead_s, start_s=float(lead_s), clips=clips)
    for one, other in zip(early, late, strict=True):
        assert one.repeated == other.repeated
        assert other.times - lead_s == pytest.approx(one.times, abs=1e-6)


def test_spans_are_cut_to_the_pictures():
    spec = spec_of("uniform4")
    (cut,) = clip_times(spec, (0.0, 5.0), 25, 5.0, start_s=3.0)
    (whole,) = clip_times(spec, None, 25, 5.0, start_s=3.0)
    assert np.array_equal(cut.times, whole.times)
    assert cut.times[0] > 3
    with pytest.raises(SpanOutsideVideo, match="ends before the first frame of the video at 3 s"):
        clip_times(spec, (1.0, 3.0), 25, 5.0, start_s=3.0)


def test_windows_begin_with_the_pictures():
    assert windows(23.0, 10, 5, 3.0) == [(3, 13), (8, 18), (13, 23)]
    assert windows(9.0, 10, 5, 3.0) == [(3, 9)]

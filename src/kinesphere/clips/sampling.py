"""The timestamps of a span that make a clip.

All times are seconds from the video's start, which its first frame may follow later. They keep clear of
the times at which frames change, so that `Video.frames_at` gives the intended frame however the container
rounds its clock.

Dense clips (`LxSxN`): L frames, S apart, span `(L - 1) * S + 1` frames and can start at any of
`D + 1` frames of the span. In testing one clip lies in the middle (start `D // 2`) and k clips spread
evenly from the first start to the last (`i * D / (k - 1)`, rounded), the rule of MMAction2's
`SampleFrames`; PySlowFast spreads by `i * D / k` instead and so leaves the end unseen. In training
each start is random: for k clips, one in each of k equal parts of the possible starts.

Uniform clips (`uniformN`, TSN, Wang et al. 2016, section 3.1): one frame from each of N equal
segments, random in training. In testing it is the middle one; k clips take the timestamps `(i + 1/2) / k`
of every segment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kinesphere.clips.spec import ClipSpec, ShortVideo
from kinesphere.core import rng
from kinesphere.core.errors import InvalidSetting, SpanOutsideVideo

# A whole number of frames computed in floating point may come out this much off.
_ROUNDING = 1e-6
MOST_WINDOWS = 2_500_000
"""Windows of one video: more than a day has at 25 a second."""
# Requested times stay this fraction of a frame away from its beginning and end.
_MARGIN = 0.25
# Rate at which uniform sampling counts when no frame rate is known.
_FALLBACK_RATE = 1000.0


@dataclass(frozen=True, eq=False)
class ClipTimes:
    """The timestamps of one clip.

    Attributes:
        times: `(T,)` float64 seconds, ascending unless a short span is looped.
        repeated: How many of them repeat an earlier frame because the span is shorter than the clip.
    """

    times: np.ndarray
    repeated: int = 0


@dataclass(frozen=True)
class TemporalJitter:
    """Random changes of a clip's pace and extent in training, beside its random start.

    Attributes:
        speed: Speed of dense clips: the interval is multiplied by a factor drawn log-uniformly from
            `[1 / (1 + speed), 1 + speed]`, so that slow and fast are equally likely. Leave it at 0
            where pace tells classes apart.
        frame: Shift of frames of dense clips: each moves later by up to this fraction of the interval;
            in [0, 1].
        trim: Trimming of uniform clips: they spread over a random part of the span, shorter by up to this
            share; in [0, 1).
    """

    speed: float = 0.0
    frame: float = 0.0
    trim: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.speed < math.inf:
            raise InvalidSetting(f"Speed jitter is 0 or more (0.2 is up to 20 % faster); got {self.speed}.")
        if not 0 <= self.frame <= 1:
            raise InvalidSetting(f"Frame jitter is a fraction of the interval, 0 to 1; got {self.frame}.")
        if not 0 <= self.trim < 1:
            raise InvalidSetting(f"Trimming takes a fraction of the span, 0 up to 1; got {self.trim}.")


STEADY = TemporalJitter()


def clip_times(
    spec: ClipSpec,
    span: tuple[float, float] | None,
    fps: float | None,
    duration_s: float | None,
    *,
    start_s: float = 0.0,
    clips: int | None = None,
    generator: torch.Generator | None = None,
    jitter: TemporalJitter = STEADY,
) -> list[ClipTimes]:
    """The timestamps of the clips that `spec` asks of a span.

    Args:
        spec: Sampling, rate at which it counts, and what to do with a short span.
        span: `(start_s, end_s)`, or None for the whole video. What lies outside the frames is cut off.
        fps: Frame rate of the source; None if unknown.
        duration_s: When the last frame of the source ends; None if unknown, which then needs a span.
        start_s: When the first frame of the source starts.
        clips: Number of clips; None for the sampling's own.
        generator: Source of randomness in training; None samples deterministically.
        jitter: Random changes of pace and extent; only with a generator.

    Returns:
        One entry per clip, each of `spec.length` times inside the span.

    Raises:
        InvalidSetting: If the span's extent or the rate of a dense sampling is unknown.
        SpanOutsideVideo: If the span shows no frame: it starts after the last or ends before the first.
    """
    count = spec.sampling.clips if clips is None else clips
    if count < 1:
        raise InvalidSetting(f"At least one clip is sampled from a span; got clips={count}.")
    # Frames change at whole intervals from the first one on, so that they are counted from there.
    extent_s = _extent(span, duration_s, start_s)
    grid = _grid(spec, (extent_s[0] - start_s, extent_s[1] - start_s), float(fps) if fps else None)
    if spec.sampling.kind == "dense":
        chosen = _dense(spec, grid.count, count, generator, jitter)
    else:
        chosen = _uniform(spec, grid.count, count, generator, jitter)
    return [ClipTimes(start_s + grid.times(index), repeated) for index, repeated in chosen]


def windows(
    duration_s: float, length_s: float, stride_s: float, start_s: float = 0.0
) -> list[tuple[float, float]]:
    """Spans that cover the frames of a whole video, for example 10 s every 5 s.

    All have the full length, and the last one ends with the video: it starts less than a stride after
    the one before. A video shorter than a window is one span.

    Args:
        duration_s: When the last frame ends, in seconds.
        length_s: Length of a window in seconds.
        stride_s: Seconds between the starts of neighbours, at most `length_s`.
        start_s: When the first frame starts.

    Raises:
        InvalidSetting: If a value is not positive, the stride would leave gaps, or there would be more
            windows than a day has frames.
    """
    if not (0 < duration_s < math.inf and 0 < length_s < math.inf and 0 < stride_s < math.inf):
        raise InvalidSetting(
            "Windows need a positive duration, length and stride in seconds; "
            f"got {duration_s}, {length_s}, {stride_s}."
        )
    if stride_s > length_s:
        raise InvalidSetting(
            f"A stride of {stride_s} s between windows of {length_s} s would leave gaps; "
            "make it at most the length."
        )
    last = duration_s - length_s
    if last - start_s <= _ROUNDING * stride_s:
        return [(float(start_s), float(duration_s))]
    if (last - start_s) / stride_s > MOST_WINDOWS:
        raise InvalidSetting(
            f"A window every {stride_s:g} s makes more than {MOST_WINDOWS} of {last - start_s:g} s; make the "
            "stride longer (seconds)."
        )
    before = math.ceil((last - start_s) / stride_s - _ROUNDING)
    starts = [start_s + i * stride_s for i in range(before)] + [last]
    return [(start, min(start + length_s, duration_s)) for start in starts]


def _extent(
    span: tuple[float, float] | None, duration_s: float | None, first_s: float
) -> tuple[float, float]:
    """The part of the video to sample, in seconds."""
    if span is None:
        if not duration_s or duration_s <= 0:
            raise InvalidSetting(
                f"The whole video cannot be sampled when its duration is unknown (got {duration_s}); "
                "give a span in seconds."
            )
        return first_s, float(duration_s)
    start_s, end_s = span
    if not 0 <= start_s < end_s:
        raise InvalidSetting(f"A span runs from start to a later end, in seconds; got {span}.")
    if duration_s is not None:
        if start_s >= duration_s:
            raise SpanOutsideVideo(
                f"The span {start_s:g}–{end_s:g} s starts after the end of the video at {duration_s:g} s; "
                "correct the annotation or leave the sample out."
            )
        end_s = min(end_s, duration_s)
    if end_s <= first_s:
        raise SpanOutsideVideo(
            f"The span {start_s:g}–{end_s:g} s ends before the first frame of the video at {first_s:g} s; "
            "correct the annotation or leave the sample out."
        )
    return max(float(start_s), first_s), float(end_s)


@dataclass(frozen=True)
class _Grid:
    """The frames of a span, numbered from 0 at the rate at which the sampling counts.

    Attributes:
        origin_s: Where frame 0 begins.
        rate: Frames per second of the count.
        count: Frames whose middle lies in the span; at least 1.
        extent: The span in seconds.
        source_fps: The frame rate of the video, if known.
    """

    origin_s: float
    rate: float
    count: int
    extent: tuple[float, float]
    source_fps: float | None

    def times(self, index: np.ndarray) -> np.ndarray:
        """The timestamps `(T,)` in the middle of the numbered frames, clear of the source's frame changes."""
        start_s, end_s = self.extent
        times: np.ndarray = self.origin_s + (index + 0.5) / self.rate
        if self.source_fps:
            frame = times * self.source_fps
            whole = np.floor(frame + _ROUNDING)
            times = (whole + np.clip(frame - whole, _MARGIN, 1 - _MARGIN)) / self.source_fps
        # A span shorter than one frame has its middle instead.
        inset = min(1e-4, (end_s - start_s) / 2)
        inside: np.ndarray = np.clip(times, start_s, end_s - inset)
        return inside


def _grid(spec: ClipSpec, extent: tuple[float, float], source_fps: float | None) -> _Grid:
    start_s, end_s = extent
    if spec.fps is None and source_fps:
        # Counting the source's own frames: those whose middle lies in the span.
        first = math.ceil(start_s * source_fps - 0.5 - _ROUNDING)
        count = math.ceil(end_s * source_fps - 0.5 - _ROUNDING) - first
        return _Grid(first / source_fps, source_fps, max(count, 1), extent, source_fps)
    if spec.fps is None and spec.sampling.kind == "dense":
        raise InvalidSetting(
            f"Sampling {spec.sampling} counts frames, but the video's frame rate is unknown; "
            "set the clip spec's fps."
        )
    rate = spec.fps or _FALLBACK_RATE
    count = math.ceil((end_s - start_s) * rate - 0.5 - _ROUNDING)
    return _Grid(start_s, rate, max(count, 1), extent, source_fps)


def _dense(
    spec: ClipSpec, frames: int, clips: int, generator: torch.Generator | None, jitter: TemporalJitter
) -> list[tuple[np.ndarray, int]]:
    chosen = []
    for clip in range(clips):
        steps = _steps(spec, generator, jitter)
        slack = frames - 1 - int(steps[-1])
        if slack < 0:
            chosen.append(_fill(steps, frames, spec.short_video))
            continue
        if generator is not None:
            low, high = clip * (slack + 1) // clips, (clip + 1) * (slack + 1) // clips
            # Proportional to one number, so that inputs of different length stay together: with equal
            # generators the shorter clip lies within the longer one.
            start = low + math.floor(rng.uniform(generator) * max(high - low, 1))
        elif clips == 1:
            start = slack // 2
        else:
            start = math.floor(clip * slack / (clips - 1) + 0.5)
        chosen.append((start + steps, 0))
    return chosen


def _steps(spec: ClipSpec, generator: torch.Generator | None, jitter: TemporalJitter) -> np.ndarray:
    """Frame numbers (T,) of a dense clip counted from its own start."""
    length, interval = spec.sampling.length, float(spec.sampling.interval)
    if generator is None:
        return np.arange(length) * spec.sampling.interval
    if jitter.speed:
        bound = math.log1p(jitter.speed)
        interval *= math.exp(rng.uniform(generator, -bound, bound))
    steps: np.ndarray = np.arange(length) * interval
    if jitter.frame:
        steps += (
            torch.rand(length, generator=generator, dtype=torch.float64).numpy() * jitter.frame * interval
        )
    return np.floor(steps + _ROUNDING).astype(np.int64)


def _uniform(
    spec: ClipSpec, frames: int, clips: int, generator: torch.Generator | None, jitter: TemporalJitter
) -> list[tuple[np.ndarray, int]]:
    length, first = spec.sampling.length, 0
    if generator is not None and jitter.trim:
        kept = max(1, round(frames * (1 - jitter.trim * rng.uniform(generator))))
        first = rng.integer(generator, 0, frames - kept)
        frames = kept
    if frames < length:
        index, repeated = _fill(np.arange(length), frames, spec.short_video)
        return [(first + index, repeated)] * clips
    chosen = []
    for clip in range(clips):
        phase: Any = (clip + 0.5) / clips
        if generator is not None:
            phase = torch.rand(length, generator=generator, dtype=torch.float64).numpy()
        index = np.floor((np.arange(length) + phase) * frames / length).astype(np.int64)
        chosen.append((first + np.minimum(index, frames - 1), 0))
    return chosen


def _fill(steps: np.ndarray, frames: int, short_video: ShortVideo) -> tuple[np.ndarray, int]:
    """Frame numbers of a clip that outlasts its span, and how many of them lie beyond its end."""
    beyond = int((steps >= frames).sum())
    return (steps % frames if short_video == "loop" else np.minimum(steps, frames - 1)), beyond

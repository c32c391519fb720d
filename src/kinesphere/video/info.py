"""`VideoInfo`: what is known of a video before its frames are decoded."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from kinesphere.core.errors import Assumed
from kinesphere.video import conversion
from kinesphere.video.damage import Damage
from kinesphere.video.frame_index import LONG_GAP_S, RAW, USUAL_RATE, FrameIndex, nominal_rate


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video. Those that a source does not tell are None, never guessed.

    Attributes:
        source: The file, URL or `"<bytes>"`, as the user named it.
        container: Format name, for example `"mp4"`, `"matroska"`, `"avi"`.
        codec: Decoder name, for example `"h264"`, `"mpeg4"`, `"vp9"`.
        pixel_format: As decoded, for example `"yuv420p"`.
        size: `(H, W)` in pixels as displayed: pixel aspect ratio and rotation applied.
        coded_size: `(H, W)` as stored.
        pixel_aspect: Width of a stored pixel over its height.
        rotation_deg: Counter-clockwise rotation for display: 0, 90, 180 or 270.
        mirrored: Whether left and right are exchanged for display, before the rotation.
        fps: Mean frames per second.
        frame_count: Displayed frames; counted from the packets of a file, None for URLs without a count.
        start_s: When the first frame starts, on the clock of all times: seconds from the container's start,
            where its video or its sound begins, whichever comes first. 0 where not known.
        duration_s: From the container's start to the last frame's end.
        variable_rate: Whether the frames' intervals differ; None where they are not known.
        keyframes: Number of frames that decoding can start from; None where not known.
        has_audio: Whether there is sound beside the video.
    """

    source: str
    container: str
    codec: str
    pixel_format: str
    size: tuple[int, int]
    coded_size: tuple[int, int]
    pixel_aspect: Fraction
    rotation_deg: int
    mirrored: bool
    fps: Fraction
    frame_count: int | None
    start_s: float
    duration_s: float | None
    variable_rate: bool | None
    keyframes: int | None
    has_audio: bool


def describe(
    container: InputContainer,
    stream: VideoStream,
    frame_index: FrameIndex | None,
    first: av.VideoFrame,
    damage: Damage,
) -> VideoInfo:
    """Put together what header, packets and first frame tell; contradictions are noted as damage."""
    aspect = _pixel_aspect(stream.sample_aspect_ratio)
    rotation, mirrored = conversion.orientation(first)
    height, width = first.height, max(1, round(first.width * aspect))
    count, duration_s, variable = stream.frames or None, _header_duration(container, stream), None
    fps, start_s = nominal_rate(stream), 0.0
    if frame_index is not None:
        count = len(frame_index)
        fps, variable = _measured_rate(frame_index, fps)
        start_s, duration_s = float(frame_index.times_s[0]), float(frame_index.times_s[-1] + 1 / fps)
        if frame_index.stamps is None:
            _note_missing(damage, container, stream, frame_index, float(1 / fps))
    return VideoInfo(
        source=damage.source,
        container=container.format.name.split(",")[0].replace("mov", "mp4"),
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        size=(width, height) if rotation in (90, 270) else (height, width),
        coded_size=(first.height, first.width),
        pixel_aspect=aspect,
        rotation_deg=rotation,
        mirrored=mirrored,
        fps=fps,
        frame_count=count,
        start_s=start_s,
        duration_s=duration_s,
        variable_rate=variable,
        keyframes=None if frame_index is None else int(frame_index.packets.key.sum()),
        has_audio=bool(container.streams.audio),
    )


def warn_of_rate(info: VideoInfo, frame_index: FrameIndex | None) -> None:
    """Say at which rate frames are counted that have no times.

    Warns:
        Assumed: If it is a codec's stream without a container.
    """
    if frame_index is None or info.container not in RAW:
        return
    why = "where nothing states a rate" if info.fps == USUAL_RATE else "as its codec's header says"
    warnings.warn(
        Assumed(
            f"{info.source} is a stream of {info.codec} without a container, in which frames have no times; "
            f"they are counted at {float(info.fps):.6g} a second, {why}. If it is another rate, give it a "
            "container that states it: ffmpeg -framerate RATE -i FILE -c copy FILE.mp4"
        ),
        stacklevel=4,
    )


def _pixel_aspect(ratio: Fraction | None) -> Fraction:
    # Ratios beyond any camera's come from damaged headers.
    return ratio if ratio and Fraction(1, 8) <= ratio <= 8 else Fraction(1)


def _header_duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    whole = container.duration
    return whole / av.time_base if whole and whole > 0 else None


def _measured_rate(frame_index: FrameIndex, nominal: Fraction) -> tuple[Fraction, bool]:
    """Mean rate from the timestamps (the header's, where they agree), and whether intervals vary."""
    if len(frame_index) < 2:
        return nominal, False
    steps = np.diff(frame_index.ticks)
    usual = float(np.median(steps))
    least = float(frame_index.time_base / (frame_index.resolution or frame_index.time_base))
    variable = bool(steps.max() - steps.min() > max(1 / least, 0.1 * usual))
    # A camera that was off for minutes was no slower for that.
    running = steps[steps <= max(LONG_GAP_S / float(frame_index.time_base), 100 * usual)]
    mean = 1 / (Fraction(int(running.sum()), len(running)) * frame_index.time_base)
    agrees = abs(float(mean / nominal) - 1) < 0.005
    return (nominal if agrees and not variable else mean.limit_denominator(1_000_000)), variable


def _note_missing(
    damage: Damage, container: InputContainer, stream: VideoStream, frame_index: FrameIndex, frame_s: float
) -> None:
    """Compare what the header promises with what there is."""
    format_name = container.format.name
    # An edit list leaves packets out of the index.
    promised = min(stream.frames, len(stream.index_entries) or stream.frames)
    if format_name.startswith("mov") and promised > len(frame_index.packets):
        damage.note(f"{len(frame_index.packets)} of {promised} promised frames are there")
        return
    # Matroska and AVI promise an end on the container's own clock, others a length.
    from_zero = format_name == "avi" or format_name.startswith("matroska")
    ticks = frame_index.ticks
    if frame_index.clock == "pts":
        ticks = frame_index.packets.pts[~frame_index.packets.hidden]
    begins = 0 if from_zero else int(ticks.min())
    there_s = float((int(ticks.max()) - begins) * frame_index.time_base) + frame_s
    claims_s = [_tagged_duration(stream.metadata.get("DURATION", ""))]
    if format_name == "avi":
        # FFmpeg corrects an AVI's duration by the file's length; the frame count stays as promised.
        claims_s.append(float(stream.frames / nominal_rate(stream)))
    elif stream.duration and stream.time_base:
        claims_s.append(float(stream.duration * stream.time_base))
    slack_s = max(0.2, 3 * there_s / len(frame_index))
    if not any(claims_s) and len(container.streams) == 1:
        claims_s.append(_header_duration(container, stream) or 0.0)
        slack_s = max(1.0, 0.05 * there_s)
    if max(claims_s) - there_s > slack_s:
        damage.note(f"it ends after {there_s:.2f} of {max(claims_s):.2f} promised seconds")


def _tagged_duration(text: str) -> float:
    """Seconds of Matroska's `hh:mm:ss.fraction`; 0 if it is none."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0

"""Frames with heat as pictures of their own, for pages."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from kinesphere.data.sources import Source
from kinesphere.explain.attribution import Attribution
from kinesphere.explain.render.drawing import draw_heat, scale_of
from kinesphere.explain.render.frames import drawn_size, source_frames, spread_times

_FRAMES, _HEIGHT = 6, 128
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)


@dataclass(frozen=True)
class Strips:
    """What one explanation looks like.

    Attributes:
        frames: JPEG files: the frames of each input, one input after the other.
        caption: What is explained, by what, and the numbers of the scales of colours.
    """

    frames: tuple[bytes, ...]
    caption: str


def strips(attribution: Attribution, source: Source) -> Strips:
    """Six frames with heat for each input of an explanation.

    Args:
        attribution: The explanation.
        source: The video.

    Raises:
        VideoError: If the video cannot be decoded.
    """
    times, size = spread_times(attribution, _FRAMES), drawn_size(attribution.size, _HEIGHT)
    frames = source_frames(source, times, size)
    files, scales = [], []
    for model, spec in attribution.inputs:
        images = draw_heat(attribution, model, spec, frames, times)
        files += [cv2.imencode(".jpg", image[..., ::-1], _JPEG)[1].tobytes() for image in images]
        full = scale_of(attribution, model, spec).full
        scales.append(f"{attribution.name_of(model, spec)} up to {full:.2g}")
    shares = [f"{each.name} {100 * each.fraction:.0f} %" for each in attribution.streams if each.fraction]
    adds = f"; the answer rests on {', '.join(shares)}" if shares else ""
    caption = f"{attribution.title}, by {attribution.method}; full colour: {', '.join(scales)}{adds}"
    return Strips(tuple(files), caption)

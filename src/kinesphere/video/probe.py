"""`probe`: what a video is, without keeping it open."""

from __future__ import annotations

from pathlib import Path

from kinesphere.video.decode import Video
from kinesphere.video.info import VideoInfo


def probe(source: str | Path | bytes, *, timeout_s: float = 10.0) -> VideoInfo:
    """Describe a video after reading its packets and decoding its first frame.

    Arguments, errors and warnings are those of `Video.open`.
    """
    with Video.open(source, timeout_s=timeout_s, threads=1) as video:
        return video.info

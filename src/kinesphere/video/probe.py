"""`probe`: what a video is, without keeping it open."""

from __future__ import annotations

from pathlib import Path

from kinesphere.video.decode import Video
from kinesphere.video.info import VideoInfo


def probe(source: str | Path | bytes, *, timeout_s: float = 10.0) -> VideoInfo:
    """Describe a video after reading its packets and decoding its first frame.

    Args:
        source: A file, bytes or URL, as for `Video.open`.
        timeout_s: Longest wait for the source to open and for its first frame, in seconds.

    Raises:
        UnreadableVideo: If it is missing, no video, or holds no decodable frame.
        NoVideoStream: If it holds sound or data only.
        SourceTimeout: If it gives nothing in time.

    Warns:
        DamagedVideo: If part of it is missing.
    """
    with Video.open(source, timeout_s=timeout_s, threads=1) as video:
        return video.info

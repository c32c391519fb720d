"""Opening what the outside hands us: paths, bytes and URLs, each with its limits.

A local file may read itself and nothing else: FFmpeg's playlist formats, which open further files and
addresses, are refused there, and names are never taken for protocols or patterns.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from kinesphere.core.errors import InvalidSetting, NoVideoStream, SourceTimeout, UnreadableVideo

# One 8K picture: larger claims come from damaged headers, and would cost gigabytes in a decoder.
MAX_FRAME_PIXELS = 7680 * 4320

_NETWORK = "http,https,tcp,tls,crypto,httpproxy,udp,rtp,rtsp,rtsps,srtp,rtmp,rtmps,rtmpt"
_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps")
_SCHEMES = ("http", "https", *_LIVE_SCHEMES)
# Text art and playlists: FFmpeg would "play" any text file, or follow what a playlist names.
_REFUSED_FORMATS = {"tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "imf", "lavfi", "sdp"}

Kind = Literal["file", "bytes", "http", "live"]


@dataclass(frozen=True)
class Source:
    """Where a video comes from.

    Attributes:
        name: As the user named it; `"<bytes>"` for data in memory.
        kind: What can be done with it: `"file"` and `"bytes"` can be read twice at no cost, `"http"`
            at some, `"live"` not at all.
        location: Path or address; empty for bytes.
        data: The bytes, if it is those.
    """

    name: str
    kind: Kind
    location: str = ""
    data: bytes = b""

    @classmethod
    def of(cls, source: str | Path | bytes) -> Source:
        """Sort out what the user named.

        Raises:
            UnreadableVideo: If a file is missing, empty, or no regular file; if bytes are empty.
            InvalidSetting: If an address has a scheme that is not read here.
        """
        if isinstance(source, bytes | bytearray | memoryview):
            if not len(source):
                raise UnreadableVideo("The video is empty: got 0 bytes; check how they were read.")
            return cls("<bytes>", "bytes", data=bytes(source))
        text = str(source)
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text) if isinstance(source, str) else None
        if scheme and scheme[1].lower() != "file":
            kind = scheme[1].lower()
            if kind not in _SCHEMES:
                raise InvalidSetting(
                    f"Videos are not read over {kind}://; got {text!r}. Use one of {', '.join(_SCHEMES)}."
                )
            return cls(text, "live" if kind in _LIVE_SCHEMES else "http", text)
        path = Path(unquote(urlsplit(text).path)) if scheme else Path(source)
        return cls(text, "file", str(_regular_file(path)))

    @property
    def local(self) -> bool:
        """Whether reading it twice is cheap."""
        return self.kind in ("file", "bytes")

    def size_bytes(self) -> int | None:
        """Length of a file or of bytes."""
        if self.kind == "file":
            return Path(self.location).stat().st_size
        return len(self.data) if self.kind == "bytes" else None

    def open(self, timeout_s: float) -> InputContainer:
        """Open the container.

        Raises:
            UnreadableVideo: If no demuxer makes sense of it.
            SourceTimeout: If it does not answer within `timeout_s`.
        """
        options = {"protocol_whitelist": "file" if self.local else _NETWORK}
        if self.kind == "live" and self.location.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        target = io.BytesIO(self.data) if self.kind == "bytes" else self.location
        if self.kind == "file":
            target = f"file:{self.location}"
        try:
            container = av.open(
                target, "r", options=options, timeout=(timeout_s, timeout_s), metadata_errors="ignore"
            )
        except av.error.ExitError as error:
            raise SourceTimeout(
                f"{self.name} did not open within {timeout_s:g} s; check the source, "
                "or allow more with timeout_s."
            ) from error
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            raise UnreadableVideo(
                f"{self.name} cannot be read as a video ({_reason(error)}); check that it is a video file "
                "and complete."
            ) from error
        names = set(container.format.name.split(","))
        if self.local and names & _REFUSED_FORMATS:
            container.close()
            raise UnreadableVideo(
                f"{self.name} is text or a playlist (read as {container.format.name!r}), not a video; "
                "name the video file itself."
            )
        return container


def pick_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream that a player would show; cover pictures of songs do not count.

    Raises:
        NoVideoStream: If there is none.
        UnreadableVideo: If its codec is unknown here or its frames are absurdly large.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        others = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise NoVideoStream(f"{name} holds no picture, only {others}; name a file with a video stream.")
    stream = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
    context = stream.codec_context
    if context is None:
        raise UnreadableVideo(
            f"{name} uses a video codec that is not known here; re-encode it, e.g. as H.264."
        )
    if context.width * context.height > MAX_FRAME_PIXELS:
        raise UnreadableVideo(
            f"{name} claims frames of {context.width}x{context.height} pixels; the limit is "
            f"{MAX_FRAME_PIXELS} pixels. The header is damaged, or scale the video down first."
        )
    return stream


def _regular_file(path: Path) -> Path:
    if not path.exists():
        raise UnreadableVideo(f"{path} does not exist; check the path.")
    if not path.is_file():
        raise UnreadableVideo(f"{path} is a folder or a device, not a video file; name a file.")
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"{path} is empty (0 bytes); copy or download it again.")
    return path.absolute()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

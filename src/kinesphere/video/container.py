"""Opening what the outside hands us: paths, bytes and URLs, each with its limits.

Nothing is opened that the user did not name. FFmpeg may read the formats of one list, none of which names
other files or URLs, through the protocols of another; names are never taken for protocols or patterns.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from kinesphere.core.errors import InvalidSetting, NoVideoStream, SourceTimeout, UnreadableVideo
from kinesphere.core.paths import is_file, is_there, why_absent
from kinesphere.core.text import without_password
from kinesphere.video.damage import Patience

# One 8K frame: larger claims come from damaged headers, and would cost gigabytes in a decoder.
MAX_FRAME_PIXELS = 7680 * 4320

_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp")
_SCHEMES = ("http", "https", *_LIVE_SCHEMES)
_HTTP = "http,https,tcp,tls,httpproxy"
# What FFmpeg may use to read each kind of source. Data in memory need nothing.
_PROTOCOLS = {
    "file": "file",
    "bytes": "none",
    "http": _HTTP,
    "live": f"{_HTTP},udp,rtp,rtsp,rtsps,srtp,rtmp,rtmps,rtmpt,rtmpts",
}
# What to check where a source is no video.
_ADVICE = {
    "file": "that it is a video file and complete",
    "bytes": "that it is a video file and complete",
    "http": "the address and its server, and that it is neither a page nor a playlist (.m3u8, .mpd)",
    "live": "the address and its server",
}
# Formats that hold their video themselves; and sound, so that it can be named as what it is.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,kux,live_flv,asf,asf_o,ogg,nut,mxf,"
    "gxf,lxf,rm,ivr,ivf,h261,h263,h264,hevc,vvc,evc,av1,obu,m4v,mjpeg,mjpeg_2000,mpjpeg,ingenient,dv,"
    "yuv4mpegpipe,wtv,ty,nsv,nuv,pva,vc1,vc1test,dirac,dnxhd,cavsvideo,avs2,avs3,apv,dhav,ipmovie,ifv,pmp,"
    "swf,smk,bink,flic,roq,film_cpk,4xm,gif,apng,gif_pipe,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,"
    "jpegxl_anim,smjpeg,thp,xmv,r3d,cine,lmlm4,vivo,"
    "wav,w64,mp3,aac,loas,flac,aiff,caf,ac3,eac3,dts,truehd,amr,amrnb,amrwb,au,ape,wv,tta,mpc,mpc8,voc,oma"
)
_XML = rb"(?:<\?xml[^>]*>)?\s*(?:<!--.*?-->\s*)*"
# The first words of texts that name other files, by what they are called.
_NAMING = {
    "a concat script": rb"ffconcat version|(?:#[^\n]*\n|\s)*(?:file|stream|ffconcat)\s+\S",
    "a playlist": rb"#EXTM3U|\[playlist\]|\[Reference\]|<ASX|<\?wpl|<smil|RTSPtext",
    "a DASH manifest": _XML + rb"<MPD",
    "a session description (SDP)": rb"v=0\s*\no=",
    "a list of an IMF package": _XML + rb"<(?:\w+:)?(?:AssetMap|CompositionPlaylist)",
}
_SNIFFED_BYTES = 4096
# Packets among which a film has its second frame.
_LOOKED_AT = 2000

Kind = Literal["file", "bytes", "http", "live"]


@dataclass(frozen=True)
class Source:
    """Where a video comes from.

    Attributes:
        name: As the user named it, without a password; `"<bytes>"` for data in memory.
        kind: What can be done with it: `"file"` and `"bytes"` can be read twice at no cost, `"http"`
            at some, `"live"` not at all.
        location: Path or URL; empty for bytes.
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
            InvalidSetting: If a URL has a scheme that is not read here.
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
                    f"Videos are not read over {kind}://; got {without_password(text)!r}. Use one of "
                    f"{', '.join(_SCHEMES)}."
                )
            _check_host(text)
            return cls(without_password(text), "live" if kind in _LIVE_SCHEMES else "http", text)
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

    def open(
        self, timeout_s: float, extra: Mapping[str, str] = {}, *, read_timeout_s: float | None = None
    ) -> InputContainer:
        """Open the container.

        Args:
            timeout_s: Longest wait for it to open.
            extra: FFmpeg's options beside those that hold for all of its kind.
            read_timeout_s: Longest wait for each packet; None for the same.

        Raises:
            UnreadableVideo: If no demuxer makes sense of it.
            SourceTimeout: If it does not answer within `timeout_s`.
        """
        self._refuse_names_of_others()
        options = {**extra, "protocol_whitelist": _PROTOCOLS[self.kind], "format_whitelist": _FORMATS}
        if self.kind == "live":
            options["format_whitelist"] += ",rtsp"
        if self.kind == "live" and self.location.startswith("rtsp"):
            # Over UDP only from servers that refuse TCP.
            options |= {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"}
        target = io.BytesIO(self.data) if self.kind == "bytes" else self.location
        if self.kind == "file":
            target = f"file:{self.location}"
        try:
            container = av.open(
                target,
                "r",
                options=options,
                timeout=(timeout_s, read_timeout_s or timeout_s),
                metadata_errors="ignore",
            )
        except av.error.ExitError as error:
            advice = "that it runs and sends to this address" if self.kind == "live" else "the source"
            raise SourceTimeout(
                f"{self.name} did not open within {timeout_s:g} s; check {advice}, or allow more with "
                "timeout_s."
            ) from error
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            advice = _ADVICE[self.kind]
            raise UnreadableVideo(
                f"{self.name} cannot be read as a video ({_reason(error)}); check {advice}."
            ) from error
        return container

    def _refuse_names_of_others(self) -> None:
        """Refuse a local text that would have other files or URLs opened.

        Raises:
            UnreadableVideo: If it is one.
        """
        if not self.local:
            return
        start = self.data[:_SNIFFED_BYTES]
        if self.kind == "file":
            try:
                with Path(self.location).open("rb") as file:
                    start = file.read(_SNIFFED_BYTES)
            except OSError as error:
                raise UnreadableVideo(f"{self.name} cannot be read ({_reason(error)}).") from error
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        for what, pattern in _NAMING.items():
            if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
                raise UnreadableVideo(
                    f"{self.name} is {what}, not a video: it names other files, which are not opened; name "
                    "the video file itself."
                )


def pick_stream(container: InputContainer, source: Source, patience: Patience) -> int:
    """The number of the stream that is the film.

    Cover images and thumbnails do not count, nor a stream of one frame where another has more. Of
    several films it is the one that the container marks as its default, then the largest, then the first.

    Raises:
        NoVideoStream: If there is none.
        UnreadableVideo: If its codec is unknown here or its frames are absurdly large.
    """
    name = source.name
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        others = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise NoVideoStream(f"{name} holds no video, only {others}; name a file with a video stream.")
    moving = _moving(streams, source, patience) if len(streams) > 1 else set()
    stream = max(streams, key=lambda s: (s.index in moving, *_rank(s)))
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
    return stream.index


def _rank(stream: VideoStream) -> tuple[bool, bool, bool, int, int]:
    """What makes one of several moving streams the film, the most important first."""
    context, has = stream.codec_context, stream.disposition
    is_still = bool(has & (Disposition.still_image | Disposition.timed_thumbnails))
    pixels = context.width * context.height if context is not None else 0
    return not is_still, context is not None, bool(has & Disposition.default), pixels, -stream.index


def _moving(streams: list[VideoStream], source: Source, patience: Patience) -> set[int]:
    """Which of several streams have more than one frame: by the header, or by looking for a second one."""
    stated = {stream.index: stream.frames > 1 for stream in streams if stream.frames}
    if len(stated) == len(streams) or not source.local:
        return {index for index, is_moving in stated.items() if is_moving}
    counts: Counter[int] = Counter()
    with source.open(patience.timeout_s) as container:
        chosen = [container.streams[stream.index] for stream in streams]
        for packet in islice(container.demux(chosen), _LOOKED_AT):
            counts[packet.stream.index] += bool(packet.size)
            patience.check()
            if min(counts[stream.index] for stream in streams) > 1:
                break
    return {index for index, count in counts.items() if count > 1}


def _check_host(url: str) -> None:
    """Refuse a URL whose host cannot be told from what stands around it; the message repeats no password.

    Raises:
        InvalidSetting: If its port is none.
    """
    try:
        urlsplit(url).port  # noqa: B018 (looks at it)
    except ValueError:
        raise InvalidSetting(
            f"{without_password(url)} has no host and port that can be told; in a user or password write %40 "
            "for @, %3A for :, %2F for /, %3F for ? and %23 for #."
        ) from None


def _regular_file(path: Path) -> Path:
    if not is_there(path):
        is_camera = str(path).isdecimal() or str(path).startswith("/dev/video")
        advice = "cameras are not read, so record a video first" if is_camera else "check the path"
        raise UnreadableVideo(why_absent(path, advice))
    if not is_file(path):
        raise UnreadableVideo(f"{path} is a folder or a device, not a video file; name a file.")
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"{path} is empty (0 bytes); copy or download it again.")
    return path.absolute()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

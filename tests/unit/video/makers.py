"""Small videos of every kind, made in memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType

SIZE = (48, 64)
RATE = 25


def pictures(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[np.ndarray]:
    """Smooth texture that pans, RGB `(H, W, 3)`: every frame differs from its neighbours."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.integers(40, 216, (6, 12, 1)) + rng.integers(-40, 41, (6, 12, 3))
    coarse = coarse.clip(0, 255).astype(np.uint8)
    wide = cv2.resize(coarse, (width + 2 * count, height), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(wide[:, 2 * i : 2 * i + width]) for i in range(count)]


def make(
    codec: str = "libx264",
    container: str = "mp4",
    count: int = 40,
    *,
    size: tuple[int, int] = SIZE,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    times: list[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    pixel_aspect: Fraction | None = None,
    rotation_deg: int = 0,
    shift: int = 0,
    colour: tuple[int, int] | None = None,
    drawn: list[np.ndarray] | None = None,
) -> bytes:
    """Encode `count` pictures.

    `times` are presentation times in `time_base`; `shift` moves all packets in time after encoding, in
    frames; `colour` is (matrix, range) by FFmpeg's numbers; `drawn` replaces the default pictures.
    """
    folder = tempfile.TemporaryDirectory()  # some muxers read back what they wrote
    path = Path(folder.name, "video")
    with folder, av.open(str(path), "w", format=container, options=muxer or {}) as out:
        stream = out.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if rotation_deg:
            stream.set_display_rotation(rotation_deg)
        packets = []
        for i, pixels in enumerate(drawn or pictures(count, size)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if colour is not None:
                frame = frame.reformat(
                    format=pixel_format, dst_colorspace=colour[0], dst_color_range=colour[1]
                )
            frame.pts = times[i] if times else i
            frame.time_base = time_base
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            if shift:
                step = int(shift / RATE / packet.time_base)
                packet.pts, packet.dts = packet.pts + step, packet.dts + step
            out.mux(packet)
        out.close()
        return path.read_bytes()


def packed_avi(count: int = 41) -> bytes:
    """MPEG-4 AVI as DivX packs it: P and B frame in one packet, then an empty frame."""
    encoded = io.BytesIO()
    with av.open(encoded, "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=RATE, options={"bf": "1", "b_strategy": "0", "g": "12"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 12
        packets = []
        for pixels in pictures(count):
            packets += stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        packets += stream.encode(None)
        coded = [bytes(packet) for packet in packets]
        empty = bytes.fromhex("000001b65f")  # a P picture that says "not coded", padded below
        repacked: list[bytes] = []
        i = 0
        while i < len(coded):
            leans = i + 1 < len(coded) and _is_b(coded[i + 1])
            repacked += [coded[i] + coded[i + 1], empty + b"\x7f"] if leans else [coded[i]]
            i += 2 if leans else 1
        repacked[0] = _as_divx(repacked[0])
        for n, data in enumerate(repacked):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = n
            packet.is_keyframe = (
                b"\x00\x00\x01\xb6" in data and not data[data.index(b"\x00\x00\x01\xb6") + 4] >> 6
            )
            out.mux(packet)
    return encoded.getvalue()


def _is_b(data: bytes) -> bool:
    at = data.find(b"\x00\x00\x01\xb6")
    return at >= 0 and data[at + 4] >> 6 == 2


def _as_divx(data: bytes) -> bytes:
    """Put in the encoder's name by which players know packed streams."""
    at = data.index(b"\x00\x00\x01\xb6")
    return data[:at] + b"\x00\x00\x01\xb2DivX503b1393p" + data[at:]


def plain_frames(source: bytes) -> list[av.VideoFrame]:
    """All frames as PyAV decodes them from the start, with one thread."""
    with av.open(io.BytesIO(source)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return list(container.decode(stream))


X264_OPEN = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-pyramid=normal:scenecut=0"}
KINDS: dict[str, dict[str, object]] = {
    "mp4, b-frames": {"options": {"x264-params": "keyint=12:bframes=3"}},
    "mp4, one key frame": {},
    "mp4, open gop": {"options": X264_OPEN},
    "mp4, intra refresh": {"options": {"x264-params": "intra-refresh=1:keyint=20"}},
    "mp4, late start": {"shift": 50, "options": {"x264-params": "keyint=12"}},
    "mp4, edit list": {
        "shift": -7,
        "options": {"x264-params": "keyint=12"},
        "muxer": {"avoid_negative_ts": "disabled", "use_editlist": "1"},
    },
    "mkv, variable rate": {
        "container": "matroska",
        "options": {"x264-params": "keyint=12:bframes=3"},
        "times": [int(i * 40 + 15 * (i % 3) + (i > 20) * 900) for i in range(40)],
        "time_base": Fraction(1, 1000),
    },
    "ts": {"container": "mpegts", "options": X264_OPEN},
    "flv": {"container": "flv", "options": {"x264-params": "keyint=12"}},
    "raw h264": {"container": "h264", "options": {"x264-params": "keyint=12"}},
    "h264 in avi": {"container": "avi", "options": {"x264-params": "keyint=12"}},
    "xvid avi": {"codec": "mpeg4", "container": "avi", "options": {"g": "12"}},
    "xvid avi, b-frames": {"codec": "mpeg4", "container": "avi", "options": {"g": "12", "bf": "2"}},
    "mpeg2 ts": {"codec": "mpeg2video", "container": "mpegts", "options": {"g": "12", "bf": "2"}},
    "mpeg2 ps": {"codec": "mpeg2video", "container": "mpeg", "options": {"g": "12", "bf": "2"}},
    "vp9": {"codec": "libvpx-vp9", "container": "webm", "options": {"g": "12", "deadline": "realtime"}},
    "hevc, open gop": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=12:open-gop=1", "preset": "ultrafast"},
    },
    "mjpeg avi": {"codec": "mjpeg", "container": "avi", "pixel_format": "yuvj420p"},
    "ffv1": {"codec": "ffv1", "container": "matroska"},
}


def ramp(count: int, first: int = 0, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Flat grey pictures that get brighter from frame to frame."""
    return [np.full((*size, 3), 20 + 4 * (first + i), np.uint8) for i in range(count)]


def restamped(
    change: Callable[[int, int, int], tuple[int, int]] = lambda i, pts, dts: (pts, dts),
    codec: str = "libx264",
    container: str = "mpegts",
    count: int = 50,
    *,
    first: int = 0,
    options: dict[str, str] | None = None,
    kinds: Callable[[int], PictureType] = lambda i: PictureType.NONE,
) -> bytes:
    """A ramp at 25 frames a second whose packets get other times: `change(number, pts, dts)`, in ms.

    `kinds` gives the type that the encoder has to make of a frame.
    """
    target = io.BytesIO()
    milliseconds = Fraction(1, 1000)
    with av.open(target, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = milliseconds
        packets = []
        for i, pixels in enumerate(ramp(count, first)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base, frame.pict_type = 40 * i, milliseconds, kinds(i)
            packets += stream.encode(frame)
        for i, packet in enumerate(packets + stream.encode(None)):
            packet.pts, packet.dts = change(i, packet.pts, packet.dts)
            out.mux(packet)
    return target.getvalue()


def with_sound(
    container: str,
    *,
    picture_s: float = 0.0,
    sound_s: float = 0.0,
    codec: str = "libx264",
    sound: str = "aac",
    options: dict[str, str] | None = None,
    count: int = 25,
) -> bytes:
    """A second of pictures (a ramp) and two seconds of sound, each from a time of its own on."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        video = out.add_stream(codec, rate=RATE, options=options or {})
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        audio = out.add_stream(sound, rate=48_000, layout="mono")
        packets = []
        for pixels in ramp(count):
            packets += video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        packets += video.encode(None)
        size = audio.codec_context.frame_size or 1024
        for i in range(int(96_000 / size)):
            samples = av.AudioFrame(format=audio.codec_context.format.name, layout="mono", samples=size)
            for plane in samples.planes:
                plane.update(bytes(plane.buffer_size))
            samples.sample_rate, samples.pts, samples.time_base = 48_000, i * size, Fraction(1, 48_000)
            packets += audio.encode(samples)
        packets += audio.encode(None)
        for packet in packets:
            by_s = picture_s if packet.stream.type == "video" else sound_s
            by = int(Fraction(by_s).limit_denominator(1000) / packet.time_base)
            packet.pts, packet.dts = packet.pts + by, packet.dts + by
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return target.getvalue()

"""Streams as cameras send them over a network: whose stamps tell nothing, and whose key frames are rare."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import av
import cv2
import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting, SourceTimeout, UnreadableVideo
from kinesphere.live.clock import SystemClock
from kinesphere.live.network import StreamFeed
from kinesphere.live.settings import LiveSettings
from kinesphere.live.watch import feed_of
from kinesphere.video.container import Source


@contextmanager
def served(kind: str, parts: Sequence[bytes], apart_s: float) -> Iterator[str]:
    """The URL of a camera that sends one part after another, without an end that it states."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            for part in parts:
                try:
                    self.wfile.write(part)
                except OSError:  # nobody looks any more
                    return
                time.sleep(apart_s)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/stream"
    finally:
        server.shutdown()
        server.server_close()


def feed(url: str, **settings: float) -> StreamFeed:
    return StreamFeed(Source.of(url), LiveSettings(**settings), SystemClock())


def test_pictures_that_are_only_counted_are_timed_by_their_arrival() -> None:
    _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))
    head = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
    with served("multipart/x-mixed-replace; boundary=x", [head + jpeg.tobytes() + b"\r\n"] * 40, 0.08) as url:
        connection = feed(url).connect()
        arrivals = [connection.read() for _ in range(12)]
        connection.close()
    # Eight a second, of which FFmpeg would say that they are 0.04 s apart.
    assert {arrival.stamp_s for arrival in arrivals if arrival} == {None}
    assert arrivals[-1] is not None
    assert arrivals[0] is not None
    assert arrivals[-1].arrived_s - arrivals[0].arrived_s > 0.4


def test_a_snapshot_is_no_stream() -> None:
    _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))
    with served("image/jpeg", [jpeg.tobytes()], 0.0) as url:
        connection = feed(url).connect()
        with pytest.raises(InvalidSetting, match="is one picture and no stream; name the address of the cam"):
            list(iter(connection.read, None))
        connection.close()


def test_a_page_is_no_stream() -> None:
    with (
        served("text/html", [b"<html><body>the camera</body></html>"], 0.0) as url,
        pytest.raises(UnreadableVideo, match=r"neither a page nor a playlist \(\.m3u8, \.mpd\)"),
    ):
        feed(url).connect()


def test_a_camera_has_its_number_or_its_device() -> None:
    settings, clock = LiveSettings(), SystemClock()
    assert [feed_of(name, settings, clock).name for name in ("7", 7, "/dev/video7")] == ["camera 7"] * 3


def rare_key_frames() -> list[bytes]:
    """Packets of MPEG-TS at 10 frames a second, joined after a key frame, 60 frames before the next one."""
    found: list[bytes] = []
    with io.BytesIO() as file, av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream(
            "libx264", rate=10, options={"tune": "zerolatency", "preset": "ultrafast", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 70
        stream.codec_context.thread_count = 1
        for number in range(140):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 60 + number, np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
            found.append(file.getvalue())
            file.seek(0)
            file.truncate()
    return found[10:]


def test_a_connection_waits_for_the_next_key_frame() -> None:
    parts = rare_key_frames()
    with served("video/mp2t", parts, 0.02) as url:
        connection = feed(url, frozen_s=0.5, key_frame_s=10).connect()
        arrival = connection.read()
        connection.close()
    assert arrival is not None
    assert arrival.picture.size == (48, 64)
    with served("video/mp2t", parts, 0.02) as url:
        connection = feed(url, frozen_s=0.3, key_frame_s=0.3).connect()
        with pytest.raises(SourceTimeout, match=r"no picture that can be decoded for 0\.3 s"):
            connection.read()
        connection.close()


@pytest.mark.parametrize("password", ["se/cret", "se?cret", "se#cret", "a:b/c@d"])
def test_a_password_that_is_not_spelled_is_not_shown(password: str) -> None:
    with pytest.raises(InvalidSetting, match="write %40 for @") as refused:
        Source.of(f"rtsp://admin:{password}@cam.local:554/live")
    assert str(refused.value).startswith("rtsp://***@cam.local:554/live has no host")

"""An RTSP server of stamped pictures at a constant rate, for the system's Python with GStreamer's bindings.

    /usr/bin/python3 benchmarks/rtsp_server.py --port 8554 [--size 480 640] [--fps 25] [--codec h264|mjpeg]

It prints `ready`, and serves `rtsp://127.0.0.1:PORT/stamped` until it is killed. Frame n carries n and the
moment at which it was due (`stamped.py`), whether or not anybody looks. It imports nothing of the repository
and no package but `gi`.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 (after their versions)

BITS = 32
ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=1500 threads=1 "
    "! rtph264pay name=pay0 pt=96 config-interval=1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


class Pictures:
    """I420 pictures: a stamp above a texture that pans."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width, self.side = height, width, width // BITS
        draw = random.Random(0)
        coarse = [draw.randrange(40, 216) for _ in range(width // 4)]
        row = bytes(level for level in coarse for _ in range(8))
        self.rows = [row[offset:] + row[:offset] for offset in range(0, 2 * width, 16)]
        self.colour = bytes([128]) * (2 * (height // 2) * (width // 2))

    def bits(self, value: int) -> bytes:
        """Rows of one number."""
        text = format(value % (1 << BITS), "032b")
        return b"".join((b"\xeb" if bit == "1" else b"\x10") * self.side for bit in text) * self.side

    def picture(self, number: int, captured_s: float) -> bytes:
        """One picture."""
        above = self.bits(number) + self.bits(round(1000 * captured_s))
        left = self.height - 2 * self.side
        below = b"".join(
            self.rows[(i // 8) % len(self.rows)][4 * number % self.width :][: self.width] for i in range(left)
        )
        return above + below + self.colour


class Server:
    """Pushes the pictures to whoever is connected."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.fps, (height, width) = options.fps, options.size
        self.pictures = Pictures(height, width)
        self.lock = threading.Lock()
        self.sources: list[list[Any]] = []
        caps = f"video/x-raw,format=I420,width={width},height={height},framerate={options.fps}/1"
        launch = f"( appsrc name=pictures is-live=true format=time caps={caps} ! {ENCODERS[options.codec]} )"
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        factory.connect("media-configure", self.configure)
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options.port))
        self.server.get_mount_points().add_factory("/stamped", factory)
        self.server.attach(None)

    def configure(self, _factory: Any, media: Any) -> None:
        """Take up somebody who connects."""
        source = [media.get_element().get_by_name("pictures"), None]
        media.connect("unprepared", lambda _media: self.forget(source))
        with self.lock:
            self.sources.append(source)

    def forget(self, source: list[Any]) -> None:
        """Nobody is connected any more."""
        with self.lock:
            if source in self.sources:
                self.sources.remove(source)

    def run(self) -> None:
        """Push picture after picture when it is due."""
        began_s, number = time.monotonic(), 0
        while True:
            due_s = began_s + number / self.fps
            time.sleep(max(0.0, due_s - time.monotonic()))
            with self.lock:
                sources = list(self.sources)
            if sources:
                content = self.pictures.picture(number, due_s)
                for source in sources:
                    source[1] = number if source[1] is None else source[1]
                    buffer = Gst.Buffer.new_wrapped(content)
                    buffer.pts = (number - source[1]) * Gst.SECOND // self.fps
                    buffer.duration = Gst.SECOND // self.fps
                    source[0].emit("push-buffer", buffer)
            number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, default=[480, 640], help="height and width")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--codec", choices=sorted(ENCODERS), default="h264")
    options = parser.parse_args()
    Gst.init(None)
    server = Server(options)
    threading.Thread(target=server.run, daemon=True).start()
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()

"""Starting and stopping the RTSP server of stamped pictures (`rtsp_server.py`)."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

SYSTEM_PYTHON = Path("/usr/bin/python3")
PACKAGES = (
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-rtsp "
    "gir1.2-gst-rtsp-server-1.0 python3-gi"
)
_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_LOOK = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert all(map(Gst.ElementFactory.find, ('x264enc', 'rtph264pay', 'jpegenc', 'rtpjpegpay', 'appsrc')))"
)


def why_not() -> str | None:
    """Why the server cannot run here, and what to install; None where it can."""
    if SYSTEM_PYTHON.exists():
        looked = subprocess.run([SYSTEM_PYTHON, "-c", _LOOK], capture_output=True, check=False, timeout=60)
        if looked.returncode == 0:
            return None
    return f"GStreamer's RTSP server is not installed here: apt-get install {PACKAGES}"


class RtspServer:
    """A server that runs within the block; it can be cut, frozen and started anew with other pictures.

    Args:
        size: `(H, W)` in pixels; W is a multiple of 32.
        fps: Frames per second.
        codec: `h264` or `mjpeg`.
    """

    def __init__(self, size: tuple[int, int] = (480, 640), fps: int = 25, codec: str = "h264") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"rtsp://127.0.0.1:{self.port}/stamped"
        self._size, self._fps, self._codec = size, fps, codec
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.cut()

    def start(self, size: tuple[int, int] | None = None, codec: str | None = None) -> None:
        """Start serving, perhaps other pictures than before."""
        self._size, self._codec = size or self._size, codec or self._codec
        command = [str(SYSTEM_PYTHON), str(_SCRIPT), "--port", str(self.port), "--fps", str(self._fps)]
        command += ["--size", *map(str, self._size), "--codec", self._codec]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self.cut()
            raise RuntimeError(f"The RTSP server did not start: {' '.join(command)}")

    def cut(self) -> None:
        """End it at once, as if the plug were pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Leave its connections open and send nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

"""`LiveWindow`: the frame that was inferred with its answer, in a window of this machine."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from kinesphere.apps.live.state import LiveState, News, Snapshot
from kinesphere.core.errors import InvalidSetting, MissingExtra

_LARGEST = (960, 720)
_EVERY_MS = 30
_START_S = 10.0
_TOP = 3


class LiveWindow:
    """Shows the newest answers from a thread of its own; whoever tells of them never waits.

    It is made with tkinter, which comes with Python: this project's OpenCV has no windows.

    Args:
        state: What is shown.
        toolkit: Another module with tkinter's names, for tests.

    Raises:
        MissingExtra: If this Python has no tkinter.
        InvalidSetting: If there is no screen, or the system wants windows on the main thread (macOS).
    """

    def __init__(self, state: LiveState, *, toolkit: ModuleType | Any | None = None) -> None:
        self.state = state
        self._tk = _tkinter() if toolkit is None else toolkit
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._closing = False
        self._shown = -1
        self.is_closed = False
        """Whether the user has closed the window, or nothing is shown any more."""
        self._thread = threading.Thread(target=self._run, name="window", daemon=True)
        self._thread.start()
        self._started.wait(_START_S)
        if self._error is not None:
            raise InvalidSetting(
                f"No window can be opened here ({self._error}); use --serve PORT and look with a browser."
            ) from self._error
        state.front_ends.append(self)

    def tell(self, news: News) -> None:
        """See `FrontEnd.tell`; the window looks by itself."""

    def close(self) -> None:
        """Close the window; may be called again."""
        self._closing = True
        self._thread.join(_START_S)

    def _run(self) -> None:
        try:
            root = self._tk.Tk()
            root.title(f"{self.state.source} – Kinesphere")
            self._picture = self._tk.Label(root)
            self._picture.pack()
            self._text = self._tk.Label(root, justify="left", anchor="w", font=("TkFixedFont", 12))
            self._text.pack(fill="x")
            root.protocol("WM_DELETE_WINDOW", root.destroy)
        except BaseException as error:
            self._error = error
            return
        finally:
            self._started.set()
        try:
            self._look(root)
            root.mainloop()
        finally:
            self.is_closed = True
            # Made on this thread, so freed on it: tkinter allows no other.
            del self._picture, self._text

    def _look(self, root: Any) -> None:
        """Show what is new, and look again soon."""
        if self._closing:
            root.destroy()
            return
        snapshot = self.state.snapshot()
        if snapshot.sequence != self._shown:
            self._shown = snapshot.sequence
            if (pixels := snapshot.picture) is not None:
                image = self._tk.PhotoImage(data=_ppm(pixels), format="PPM")
                self._picture.configure(image=image)
                self._picture.image = image  # tkinter keeps no reference of its own
            self._text.configure(text=describe(snapshot))
        root.after(_EVERY_MS, self._look, root)


def describe(snapshot: Snapshot) -> str:
    """The text beneath the frame."""
    lines = ["The source is away."] if snapshot.is_away else []
    for result in snapshot.results:
        whom = "" if result.person is None else f"person {result.person}: "
        top = ", ".join(f"{label} {100 * p:.0f} %" for label, p in result.prediction.top(_TOP))
        lines.append(f"{whom}{top}")
    if snapshot.results:
        newest = snapshot.results[-1]
        dropped = "" if snapshot.dropped is None else f", {snapshot.dropped} dropped"
        lines.append(
            f"frame {newest.frame.number} at {newest.frame.time_s:.1f} s, {1000 * newest.latency_s:.0f} ms, "
            f"{snapshot.fps:.1f} answers/s{dropped}"
        )
    if snapshot.alarms:
        alarm = snapshot.alarms[0]
        lines.append(f"ALARM {alarm.name} at {alarm.time_s:.1f} s, frame {alarm.number}")
    return "\n".join(lines) or "No answer yet."


def _ppm(pixels: np.ndarray) -> bytes:
    """The frame as tkinter reads it, made smaller where it is larger than the window may be."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _LARGEST[0] / width, _LARGEST[1] / height)
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    return b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(pixels).tobytes()


def _tkinter() -> ModuleType:
    if sys.platform == "darwin":
        raise InvalidSetting(
            "macOS opens windows on the main thread alone; use --serve PORT instead of --window."
        )
    try:
        import tkinter
    except ImportError as error:
        raise MissingExtra(
            "A window needs tkinter, which this Python lacks; install your system's package python3-tk, or "
            "use --serve PORT."
        ) from error
    return tkinter

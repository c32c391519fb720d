"""The window, with a toolkit that only remembers: there is no screen here."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from alarm_makers import an_alarm, live_result, number_in, until

from kinesphere.apps.live.state import LiveState
from kinesphere.apps.live.window import LiveWindow
from kinesphere.core.errors import InvalidSetting, MissingExtra
from kinesphere.live.result import Incident


class FakeToolkit:
    """What of tkinter the window uses; `PhotoImage` keeps the pixels."""

    def __init__(self):
        self.labels, self.images, self.threads = [], [], set()
        toolkit = self

        class Tk:
            def __init__(self):
                toolkit.threads.add(threading.current_thread().name)
                self.due, self.alive, toolkit.root = [], True, self

            def title(self, text):
                toolkit.title = text

            def protocol(self, name, call):
                toolkit.on_close = call

            def after(self, milliseconds, call, *arguments):
                self.due.append((call, arguments))

            def destroy(self):
                self.alive = False

            def mainloop(self):
                while self.alive:
                    due, self.due = self.due, []
                    for call, arguments in due:
                        call(*arguments)
                    time.sleep(0.005)

        class Label:
            def __init__(self, root, **options):
                self.options = options
                toolkit.labels.append(self)

            def pack(self, **_):
                pass

            def configure(self, **options):
                toolkit.threads.add(threading.current_thread().name)
                self.options |= options

        def photo_image(data, **_):
            header, pixels = data.split(b" 255\n", 1)
            width, height = map(int, header.split()[1:])
            toolkit.images.append(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
            return toolkit.images[-1]

        self.Tk, self.Label, self.PhotoImage = Tk, Label, photo_image


def test_it_shows_the_frame_that_was_inferred_with_its_answer():
    toolkit, state = FakeToolkit(), LiveState("camera", dropped=lambda: 3)
    window = LiveWindow(state, toolkit=toolkit)
    assert toolkit.title == "camera – Kinesphere"
    text = toolkit.labels[1].options
    until(lambda: text.get("text") == "No answer yet.")
    state.result(live_result(9, 0.36, 0.9, person=2))
    state.alarm(an_alarm(9, 0.36))
    until(lambda: "ALARM" in text["text"])
    assert number_in(toolkit.images[-1]) == 9
    assert text["text"].splitlines() == [
        "person 2: fall 90 %, walk 6 %, wave 4 %",
        "frame 9 at 0.4 s, 50 ms, 0.3 answers/s, 3 dropped",
        "ALARM fall at 0.4 s, frame 9",
    ]
    state.incident(Incident("lost", 10, 0.4, "the connection ended"))
    until(lambda: text["text"].startswith("The source is away."))
    state.result(live_result(11, 9.0, size=(720, 1920)))
    until(lambda: toolkit.images[-1].shape == (360, 960, 3))
    assert toolkit.threads == {"window"}
    state.close()
    state.close()
    assert window.is_closed


def test_the_user_may_close_it():
    toolkit = FakeToolkit()
    window = LiveWindow(LiveState("camera"), toolkit=toolkit)
    assert not window.is_closed
    toolkit.on_close()
    until(lambda: window.is_closed)
    window.tell(live_result(0, 0))
    window.close()


def test_where_no_window_can_be_there_is_advice(monkeypatch):
    def no_screen():
        raise RuntimeError("no display name and no $DISPLAY environment variable")

    with pytest.raises(InvalidSetting, match=r"No window can be opened here \(no display.*use --serve PORT"):
        LiveWindow(LiveState("camera"), toolkit=SimpleNamespace(Tk=no_screen))
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(MissingExtra, match="needs tkinter, which this Python lacks; install your system's"):
        LiveWindow(LiveState("camera"))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InvalidSetting, match="main thread alone; use --serve PORT instead"):
        LiveWindow(LiveState("camera"))

"""Stopping from outside: Ctrl-C and a scheduler's SIGTERM end a program in one way, wherever they come.

The first signal raises `Stopped` in the main thread, so that every `finally` runs. No `KeyboardInterrupt` is
used: libraries between here and there catch that one and end the program in ways of their own. Three things
can come in between, and none may lose the signal:

- the main thread is importing: libraries in C do not survive an exception there, so it waits until they are
  loaded; a program that has no other business than its own ends after a second of that;
- it is in a block that is `held`, such as the writing of a state: it waits for the end of the block;
- something swallows the exception: where Python itself does, in destructors and callbacks, it is raised again
  soon after; elsewhere `raise_if_stopped` does that, which every long loop calls.

A second signal ends the process at once. Files appear whole or not at all, so nothing is damaged by that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
_AGAIN_S = 0.05
_PATIENCE_S = 1.0
_IMPORTER = "<frozen importlib._bootstrap>"
Advice = str | Callable[[], str]
_SHOW_CURSOR = "\x1b[?25h"


class Stopped(BaseException):
    """The program was asked to end by the signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number

    def __str__(self) -> str:
        if self.number == signal.SIGINT:
            return "Interrupted"
        return f"Stopped by {signal.Signals(self.number).name}"


class _State:
    """Which signals this process has received, and what it has printed about them."""

    def __init__(self) -> None:
        self.owner: int | None = None
        self.number: int | None = None
        self.held = 0
        self.waiting = False
        self.reminding = False
        self.imports = 0
        self.program = False
        self.since_s = 0.0
        self.advice: Advice = "The same command starts again."
        self.announced = False


_state = _State()


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise `Stopped`; blocks may be nested.

    What leaves the outermost block is what Python programs know, `KeyboardInterrupt` or `SystemExit`. A
    signal that is ignored, or for which the program has a handler of its own, is left alone, and so are all
    outside the main thread, where signals never arrive.
    """
    if _state.owner == os.getpid() or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) in _DEFAULTS]
    before = {number: signal.getsignal(number) for number in ours}
    hook = sys.unraisablehook
    _state.__init__()  # type: ignore[misc]
    _state.owner, _state.imports = os.getpid(), _imports(sys._getframe())
    try:
        for number in ours:
            signal.signal(number, _handle)
        sys.unraisablehook = partial(_hear_swallowed, hook)
        yield
    except Stopped as stopped:
        say_stopped()
        if stopped.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(stopped.exit_code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        _state.owner = None


@contextmanager
def exiting() -> Iterator[None]:
    """`stoppable` for a whole program: ends it with a sentence and the shells' exit code."""
    with stoppable():
        _state.program = True
        try:
            yield
        except BaseException:
            if (number := stopped_by()) is None:
                raise
            say_stopped()
            sys.exit(Stopped(number).exit_code)


def take_back() -> None:
    """Install the handlers again where a library has put its own over them."""
    if _state.owner == os.getpid() and threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _handle)


@contextmanager
def held() -> Iterator[None]:
    """Within the block a first signal waits for its end; for what must not be left half done."""
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
        if _state.waiting and not _state.held:
            _state.waiting = False
            raise_if_stopped()


def raise_if_stopped() -> None:
    """Raise `Stopped` again, should something have swallowed it; costs nothing otherwise.

    Raises:
        Stopped: If this process was asked to end, and this is its main thread.
    """
    if (number := stopped_by()) is not None and threading.current_thread() is threading.main_thread():
        raise Stopped(number)


def stopped_by() -> int | None:
    """Number of the signal that this process has received, if any."""
    return _state.number if _state.owner == os.getpid() else None


def stop_by(number: int) -> Stopped:
    """What to raise where a library tells of a signal that it has taken for itself."""
    _state.number = _state.number or number
    return Stopped(_state.number)


@contextmanager
def advising(advice: Advice) -> Iterator[None]:
    """What a user is advised to do when a signal ends the block; a function is asked when it does."""
    before, _state.advice = _state.advice, advice
    try:
        yield
    finally:
        if _state.number is None:
            _state.advice = before


def advise(advice: Advice) -> None:
    """From here on, what a user is advised to do; for a whole program."""
    _state.advice = advice


def say_stopped() -> None:
    """Tell the user what ended the program and what to do, once, on the error stream of the process."""
    if _state.announced or _state.number is None:
        return
    _state.announced = True
    advice = _state.advice() if callable(_state.advice) else _state.advice
    text = f"{Stopped(_state.number)}. {advice}\n"
    with suppress(OSError):  # nobody may be there to read it
        if os.isatty(2):
            text = f"\n{_SHOW_CURSOR}{text}"
        os.write(2, text.encode("utf-8", "replace"))


def leave_to_parent() -> None:
    """For processes that work for another: Ctrl-C, which reaches all of them, is for the parent to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def shielded() -> Iterator[None]:
    """Within the block a Ctrl-C waits, and processes started there see none, not even while they load."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_silently() -> None:
    """For processes of which each may end at any moment: signals end this one without a message."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def end_with(parent: int) -> None:
    """End this process soon after its parent, however that was killed.

    Args:
        parent: Process id of the parent.
    """

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _handle(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _state.owner:  # a child that has not set handlers of its own yet
        if number != signal.SIGINT:
            os._exit(128 + number)
        return
    if _state.reminding:
        _state.reminding = False
    elif _state.number is not None:
        _end_now()
    else:
        _state.number, _state.since_s = number, time.monotonic()
    assert _state.number is not None
    if _state.held:
        _state.waiting = True
    elif _imports(frame) > _state.imports:
        if _state.program and time.monotonic() - _state.since_s > _PATIENCE_S:
            _end_now()
        _remind_later()
    else:
        raise Stopped(_state.number)


def _hear_swallowed(
    others: Callable[[sys.UnraisableHookArgs], object], ignored: sys.UnraisableHookArgs
) -> None:
    """Where Python ignores an exception that it cannot hand on: not this one, and it is nothing to print."""
    if isinstance(ignored.exc_value, Stopped):
        _remind_later()
    else:
        others(ignored)


def _end_now() -> NoReturn:
    say_stopped()
    os._exit(128 + (_state.number or 0))


def _imports(frame: FrameType | None) -> int:
    """How many imports are under way in a stack."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename == _IMPORTER
        frame = frame.f_back
    return count


def _remind_later() -> None:
    def remind() -> None:
        main = threading.main_thread().ident
        if _state.owner != os.getpid() or _state.number is None or main is None:
            return
        _state.reminding = True
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, _state.number)
        else:
            signal.raise_signal(_state.number)

    timer = threading.Timer(_AGAIN_S, remind)
    timer.daemon = True
    timer.start()

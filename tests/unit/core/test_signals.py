"""Signals, in programs of their own: what they say and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kinesphere.core import signals
from kinesphere.core.signals import Stopped, held, raise_if_stopped, stoppable, stopped_by
from kinesphere.train.launch import BEGIN

PROGRAM = """
import os, signal, sys, threading, time
from kinesphere.core.signals import *
from kinesphere.core.signals import _state

def main():
{body}

with exiting():
    main()
"""


def end_of(body: str, number: int = signal.SIGINT, times: int = 1) -> tuple[int, str, str]:
    """Exit code, output and errors of a program that says `begun` before it gets signals."""
    program = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    process.wait(timeout=30)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


WAIT = 'print("begun", flush=True); time.sleep(20)'


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Interrupted"), (signal.SIGTERM, "Stopped by SIGTERM")]
)
def test_one_sentence_and_the_shells_exit_code(number: int, name: str) -> None:
    body = f"""
    with advising(lambda: "Go on so."):
        {WAIT}
    """
    assert end_of(body, number) == (128 + number, "", f"{name}. Go on so.\n")


def test_a_swallowed_signal_is_raised_again_at_the_next_check() -> None:
    body = """
    class Dies:
        def __del__(self):
            print("begun", flush=True)
            time.sleep(1)
    sys.unraisablehook = lambda _: None
    Dies()
    while True:
        raise_if_stopped()
    """
    assert end_of(body) == (130, "", "Interrupted. The same command starts again.\n")


def test_a_signal_in_a_destructor_comes_again_and_prints_nothing_else() -> None:
    body = """
    class Dies:
        def __del__(self):
            print("begun", flush=True)
            time.sleep(1)
    Dies()
    time.sleep(20)
    """
    began = time.monotonic()
    assert end_of(body) == (130, "", "Interrupted. The same command starts again.\n")
    assert time.monotonic() - began < 10
    hook = sys.unraisablehook
    with stoppable():
        assert sys.unraisablehook is not hook
    assert sys.unraisablehook is hook


def test_other_errors_on_the_way_out_do_not_hide_the_signal() -> None:
    body = f"""
    try:
        {WAIT}
    except BaseException as error:
        raise RuntimeError("a library's own") from error
    """
    assert end_of(body) == (130, "", "Interrupted. The same command starts again.\n")


def test_libraries_that_catch_interrupts_do_not_see_this_one() -> None:
    body = f"""
    try:
        {WAIT}
    except (KeyboardInterrupt, Exception):
        sys.exit(0)
    finally:
        print("cleaned up", flush=True)
    """
    assert end_of(body) == (130, "cleaned up\n", "Interrupted. The same command starts again.\n")


def test_held_blocks_end_first() -> None:
    body = """
    with held():
        print("begun", flush=True)
        time.sleep(0.5)
        print("whole", flush=True)
    print("beyond")
    """
    assert end_of(body) == (130, "whole\n", "Interrupted. The same command starts again.\n")


def test_a_second_signal_ends_at_once() -> None:
    body = f"""
    try:
        {WAIT}
    finally:
        time.sleep(20)
    """
    began = time.monotonic()
    assert end_of(body, times=2) == (130, "", "Interrupted. The same command starts again.\n")
    assert time.monotonic() - began < 10


def test_imports_are_not_broken_but_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(0.5)\nprint('loaded', flush=True)\n"
    )
    body = f"""
    sys.path.insert(0, {str(tmp_path)!r})
    import slow_module
    time.sleep(20)
    """
    assert end_of(body) == (130, "loaded\n", "Interrupted. The same command starts again.\n")
    (tmp_path / "slow_module.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(20)\n")
    assert end_of(body) == (130, "", "Interrupted. The same command starts again.\n")


def test_children_leave_a_ctrl_c_to_their_parent() -> None:
    body = """
    child = os.fork()
    if not child:
        time.sleep(0.3)
        os._exit(7)
    os.kill(child, signal.SIGINT)
    print("begun", os.waitpid(child, 0)[1] >> 8, flush=True)
    """
    program = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun 7\n", "")


def test_processes_end_with_the_one_they_work_for(tmp_path: Path) -> None:
    note = tmp_path / "child"
    body = f"""
    parent, child = os.getpid(), os.fork()
    if not child:
        end_with(parent)
        time.sleep(60)
    open({str(note)!r}, "w").write(str(child))
    print("begun", flush=True)
    time.sleep(20)
    """
    end_of(body, signal.SIGKILL)
    for _ in range(50):
        try:
            os.kill(int(note.read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the child lives on")


def test_in_scripts_a_ctrl_c_is_what_python_makes_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), stoppable(), stoppable():
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == "Interrupted. The same command starts again.\n"
    with pytest.raises(SystemExit, match="143"), stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert stopped_by() is None
    raise_if_stopped()


def test_signals_that_are_ignored_or_taken_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("theirs"))
    try:
        with stoppable(), held():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["theirs"]


def test_handlers_are_taken_back_from_libraries() -> None:
    def taken() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signals.take_back()
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), stoppable():
        taken()
    assert Stopped(signal.SIGTERM).exit_code == 143


def test_training_processes_end_without_a_word_while_they_load(tmp_path: Path) -> None:
    package = tmp_path / "kinesphere" / "train"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(20)\n")
    (package / "worker.py").touch()
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (-signal.SIGINT, "")

"""What the verbs share: one screen for people, JSON for machines, bars, checks of targets, one way to end."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import typer

from kinesphere.core.errors import InvalidSetting, KinesphereError, KinesphereWarning
from kinesphere.core.files import check_place
from kinesphere.core.signals import raise_if_stopped
from kinesphere.core.text import SPELLED, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from kinesphere.core.skipped import Skipped

EVERY_S = 10.0
"""How often long work tells how far it is where its output is no terminal."""


_SETTLED_S = 5.0
"""How long work goes on before its pace tells how long the rest takes."""

GOES_ON = "What is finished is kept; the same command goes on from there."
"""What a user is told who stops a verb that can do so."""


class Advance(Protocol):
    """Reports that `done` of `total` pieces of work are finished; of the one at work, a fraction."""

    def __call__(self, done: float, total: int) -> None: ...


def console(to_stderr: bool = False) -> Console:
    """A rich console that shows every text as it stands; wide enough for tables when nobody watches.

    Names and labels come from outside: nothing in them is markup or commands the terminal (see
    `PlainConsole`). Colours are given by `tinted`.
    """
    from kinesphere.apps.cli.screen import PlainConsole

    def made(width: int | None = None) -> Console:
        return PlainConsole(stderr=to_stderr, highlight=False, markup=False, emoji=False, width=width)

    screen = made()
    return screen if screen.is_terminal else made(120)


def tinted(*parts: str | tuple[str, str]) -> Text:
    """A line of plain texts and of `(text, style)`."""
    from rich.text import Text

    plain = [
        visible(each, line=True) if isinstance(each, str) else (visible(each[0], line=True), each[1])
        for each in parts
    ]
    return Text.assemble(*plain)


def say(word: str, style: str, text: str, to_stderr: bool = False) -> None:
    """A line that begins with a coloured word; if the text has more lines, they are indented below it."""
    from rich.text import Text

    console(to_stderr).print(Text.assemble((word, style), f"  {indented(visible(text))}"), soft_wrap=True)


def indented(text: str) -> str:
    """A message that may have several lines: none of them but the first looks like one of ours."""
    return text.replace("\n", "\n    ")


def print_error(error: KinesphereError) -> None:
    """What went wrong, on standard error."""
    text = f"{type(error).__name__}: {indented(visible(str(error)))}"
    typer.secho(text, fg=typer.colors.RED, err=True)


def prepare_streams() -> None:
    """Let standard output and errors show names that are not UTF-8, and warnings without our source code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=SPELLED)
    plain = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, KinesphereWarning) and file is None:
            say("warning", "yellow", f"{message} ({category.__name__})", to_stderr=True)
        else:
            plain(visible(str(message)), category, filename, lineno, file, line)

    warnings.showwarning = show


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(visible(json.dumps(document, ensure_ascii=False, indent=2), json=True))


def print_json_line(document: Any) -> None:
    """One JSON document a line, for answers that come one by one."""
    typer.echo(visible(json.dumps(document, ensure_ascii=False), json=True))


def check_file(option: str, path: Path | None, suffixes: Collection[str]) -> None:
    """Refuse a target before the work is done whose suffix nothing writes, or where nothing can be written.

    Raises:
        InvalidSetting: If the suffix is not among `suffixes` (lower case, with the dot), or it is a folder.
        UnwritableFile: If its folder takes no files.
    """
    if path is None:
        return
    if path.is_dir():
        raise InvalidSetting(
            f"{option} names a file, but {path} is a folder; write {path}/NAME{next(iter(suffixes))}."
        )
    if path.suffix.lower() not in suffixes:
        raise InvalidSetting(f"{option} names a {' or '.join(suffixes)} file; got {str(path)!r}.")
    check_place(path)


def check_folder(option: str, path: Path | None) -> None:
    """Refuse a target before the work is done that cannot become a folder.

    Raises:
        InvalidSetting: If it is a file.
    """
    if path is not None and path.exists() and not path.is_dir():
        raise InvalidSetting(f"{option} names a folder, but {path} is a file; choose another place.")


def check_results(option: str, path: Path | None) -> None:
    """Like `check_folder`; refuses also where nothing can be written at the end.

    Raises:
        InvalidSetting: If it is a file.
        UnwritableFile: If the place takes no files.
    """
    check_folder(option, path)
    if path is not None:
        check_place(path)


@contextmanager
def progress(
    title: str, unit: str, hidden: bool = False, detail: Callable[[], str] | None = None
) -> Iterator[Advance]:
    """A progress bar on standard error; where that is no terminal, a line now and then.

    Args:
        title: What is done.
        unit: What it is done to.
        hidden: Show nothing.
        detail: What such a line says besides.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(to_stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeRemainingColumn(),
        console=screen,
        disable=hidden or not screen.is_terminal,
    )
    reached: list[tuple[float, float, int]] = []

    def line() -> str:
        begun_s, first, _ = reached[0] if reached else (0.0, 0.0, 0)
        _, done, total = reached[-1] if reached else (0.0, 0.0, 0)
        shown = f"{done:.2f}" if done % 1 else f"{done:.0f}"
        counts = f"{shown} of {total} {unit}" if total else f"{shown} {unit}"
        more = detail() if detail is not None else ""
        left = _time_left(time.monotonic() - begun_s, done - first, total - done)
        return f"{title.strip() or 'Working'}: {counts}{f'; at {more}' if more else ''}{left}"

    with bar, _said_now_and_then(line, wanted=not hidden and not screen.is_terminal):
        task = bar.add_task(title, total=None)

        def advance(done: float, total: int) -> None:
            raise_if_stopped()
            reached[1:] = [(time.monotonic(), done, total)]
            bar.update(task, completed=done, total=total)

        yield advance


def _time_left(elapsed_s: float, done: float, left: float) -> str:
    """How long the rest takes at the pace so far, in words; empty while that is not known."""
    if done <= 0 or left <= 0 or elapsed_s < _SETTLED_S:
        return ""
    minutes, seconds = divmod(round(elapsed_s / done * left), 60)
    return f"; about {f'{minutes} min' if minutes else f'{seconds} s'} left"


@contextmanager
def _said_now_and_then(line: Callable[[], str], wanted: bool) -> Iterator[None]:
    """Print a line on standard error every `EVERY_S` seconds while the block runs."""
    if not wanted:
        yield
        return
    over = Event()

    def run() -> None:
        while not over.wait(EVERY_S):
            console(to_stderr=True).print(line(), soft_wrap=True)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def end(failures: int) -> None:
    """Leave with exit code 1 if some inputs failed and were listed."""
    if failures:
        raise typer.Exit(1)


def print_left_out(skipped: Sequence[Skipped], most: int = 10) -> None:
    """The first of the recordings that a set lost on the way, and how many there are beside."""
    if skipped:
        console().print(f"{len(skipped)} left out")
    # What is wrong comes before what is merely not there.
    for each in sorted(skipped, key=lambda each: not each.is_failure)[:most]:
        say("left out", "yellow", f"{each.path}: {each.reason}")
    if len(skipped) > most:
        console().print(f"    … and {len(skipped) - most} more (see --json)")

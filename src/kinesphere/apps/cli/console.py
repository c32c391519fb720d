"""What the verbs share: JSON for machines, bars for people, one way to end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.data.skeletons.skipped import Skipped

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionChoice = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Arithmetic of the network.")
]
Unlabelled = Annotated[
    Literal["refuse", "skip"],
    typer.Option(help="Whether samples without a label are an error or left out."),
]


class Advance(Protocol):
    """Reports that `done` of `total` pieces of work are finished."""

    def __call__(self, done: int, total: int) -> None: ...


def console(to_stderr: bool = False) -> Console:
    """A rich console; wide enough for tables when the output is not a terminal."""
    from rich.console import Console

    plain = Console(stderr=to_stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=to_stderr, highlight=False, width=120)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def progress(title: str, unit: str, hidden: bool = False) -> Iterator[Advance]:
    """A progress bar on standard error, silent when hidden or when nobody watches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(to_stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=screen,
        disable=hidden or not screen.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def end(failures: int) -> None:
    """Leave with exit code 1 if some inputs failed and were listed."""
    if failures:
        raise typer.Exit(1)


def print_left_out(skipped: Sequence[Skipped], most: int = 10) -> None:
    """The first of the recordings that a set lost on the way, and how many there are beside."""
    from rich.markup import escape

    screen = console()
    if skipped:
        screen.print(f"{len(skipped)} left out")
    # What is wrong comes before what is merely not there.
    for each in sorted(skipped, key=lambda each: not each.is_failure)[:most]:
        screen.print(f"[yellow]left out[/]  {escape(each.name)}: {escape(each.reason)}", soft_wrap=True)
    if len(skipped) > most:
        screen.print(f"    … and {len(skipped) - most} more (see --json)")

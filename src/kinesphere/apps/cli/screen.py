"""`PlainConsole`: a console on which nothing that comes from outside commands the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from kinesphere.core.text import visible


class PlainConsole(Console):
    """Shows every text as it stands: what is in it is neither markup nor an escape sequence.

    Names of files, labels and messages about them may hold any character. Those that a terminal obeys are
    spelled (see `visible`); in a text that is printed by itself, which is one line, so are line breaks.
    """

    def print(self, *objects: Any, **settings: Any) -> None:
        """See `rich.console.Console.print`."""
        super().print(
            *(visible(each, line=True) if isinstance(each, str) else each for each in objects), **settings
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

"""`kinesphere data`: one's own recordings and their annotations, before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import console, end, print_json, say
from kinesphere.apps.cli.data_curate import balance, merge, split
from kinesphere.apps.cli.data_keyframes import keyframes
from kinesphere.apps.cli.data_next import next_
from kinesphere.apps.cli.data_windows import windows
from kinesphere.apps.cli.options import AnnotatedFps, Json, VideosFolder

if TYPE_CHECKING:
    from kinesphere.annotations.conversion import Conversion

data = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Prepare recordings of one's own: their annotations in the formats of many tools, windows, splits.",
)
for _verb in (windows, split, merge, balance, keyframes):
    data.command()(_verb)
data.command("next")(next_)

Annotations = Annotated[
    list[Path], typer.Argument(help="Files of timed labels, or folders with one for each video.")
]


@data.command("convert")
def convert_(
    annotations: Annotations,
    to: Annotated[
        str, typer.Option(help="Format: elan, cvat, via, label_studio, activitynet, csv, opensportslib, mot.")
    ],
    out: Annotated[Path, typer.Option(help="File; or folder, where the format has a file for each video.")],
    videos: VideosFolder = None,
    fps: AnnotatedFps = None,
    as_json: Json = False,
) -> None:
    """Write timed labels in the format of another tool, with counts per class before and after."""
    from kinesphere.annotations.conversion import convert
    from kinesphere.annotations.recordings import Recordings

    found = convert(annotations, to, out, Recordings(videos, fps))
    if as_json:
        print_json(
            {
                "files": [str(path) for path in found.files],
                "before": {label: count.to_json() for label, count in found.before.items()},
                "after": {label: count.to_json() for label, count in found.after.items()},
                "notes": list(found.notes),
                "lost": list(found.lost),
            }
        )
    else:
        _show(found)
    end(len(found.lost))


def _show(found: Conversion) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "labels before", "after", "seconds before", "after", box=None)
    for label in {**found.before, **found.after}:
        before, after = found.before.get(label), found.after.get(label)
        cells = [f"{each.labels}" if each else "–" for each in (before, after)]
        cells += [f"{each.seconds:.2f}" if each else "–" for each in (before, after)]
        table.add_row(Text(label), *cells)
    screen = console()
    screen.print(table)
    for path in found.files:
        say("written", "green", str(path))
    for note in found.notes:
        say("note", "yellow", note)
    for line in found.lost:
        say("not carried over", "red", line)

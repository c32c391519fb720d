"""How long recordings with timed labels are cut into windows: the options of the verbs that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Window = Annotated[float, typer.Option(help="Length of a window in seconds.")]
Stride = Annotated[float, typer.Option(help="Seconds between the starts of windows.")]
LeastOverlap = Annotated[float, typer.Option(help="Least fraction that a label covers, above 0.")]
OverlapOf = Annotated[
    Literal["window", "annotation"],
    typer.Option(help="Of what that is a fraction: the window, or one annotation (the window if shorter)."),
]
Several = Annotated[
    Literal["largest", "all"],
    typer.Option(help="What becomes of several labels: the one with the largest overlap, or all of them."),
]
Last = Annotated[
    Literal["end", "short", "drop"],
    typer.Option(help="Last window: ends with the recording, is short, or is left out."),
]
Background = Annotated[
    str | None, typer.Option(help="Class of windows that no label touches; left out by default.")
]
Videos = Annotated[
    Path | None, typer.Option(help="Folder of the videos; default: beside the annotations, or below.")
]

"""`kinesphere extract frames`: frames of videos as numbered images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, end, print_json, progress, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.signals import advise


def frames(
    data: Annotated[
        list[str], typer.Argument(help="Manifest (CSV, Parquet), folder of class folders, videos or globs.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the folders of images, laid out as the data.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Images of each video, from the middles of equal parts.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Images a second.")] = None,
    kind: Annotated[Literal["jpg", "png"], typer.Option("--format", help="Format of the images.")] = "jpg",
    short_side: Annotated[
        int | None, typer.Option(min=1, help="Short side in pixels; larger frames are shrunk.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG.")] = 95,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make folders anew that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Frames as numbered images, so many of each video or a second; finished folders are kept.

    Each folder states its frame rate in `frames.json`, by which it is read as a video.
    """
    from kinesphere.annotations.extract.frames import FrameSettings, extract_frames
    from kinesphere.predict.sources import find_videos

    check_folder("--out", out)
    settings = FrameSettings(count, rate, kind, short_side, quality)
    advise(GOES_ON)
    videos, root = find_videos(data)
    with progress("Extracting", "videos", hidden=as_json) as advance:
        found = extract_frames(videos, out, settings, root=root, overwrite=overwrite, progress=advance)
    if as_json:
        print_json(found.to_json())
    else:
        console().print(
            f"{found.images} images of {len(found.made) + len(found.kept)} videos in {out}; "
            f"{len(found.kept)} were there already",
            soft_wrap=True,
        )
        for note in found.notes:
            say("note", "yellow", f"  {note.path}: {note.reason}")
        for each in found.failures:
            say("failed", "red", f"{each.path}: {each.reason}")
    end(len(found.failures))

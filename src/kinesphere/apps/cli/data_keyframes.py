"""`kinesphere data keyframes`: tracks with actions as keyframes of AVA's form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinesphere.apps.cli.console import check_file, print_json, say
from kinesphere.apps.cli.options import AnnotatedFps, Json, VideosFolder


def keyframes(
    annotations: Annotated[
        list[Path],
        typer.Argument(
            help="CVAT's XML with tracks of people and what they do, tables with the columns path, label, "
            "start, end and person, or files of AVA's form."
        ),
    ],
    out: Annotated[Path, typer.Option(help="CSV of AVA's form; its label map is written beside it.")],
    videos: VideosFolder = None,
    fps: AnnotatedFps = None,
    tracks: Annotated[Path | None, typer.Option(help="Folder of the tracks of tables.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Actions that count, with commas between them (default: all).")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="Names of the actions of files of AVA's form.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Seconds from one keyframe of a track to the next.")] = 1,
    as_json: Json = False,
) -> None:
    """Write who does what at every second, in AVA's form: video, second, box, action, person."""
    from kinesphere.annotations.formats.ava import read_label_map
    from kinesphere.annotations.keyframe_files import read_keyframes, write_keyframes, write_label_map
    from kinesphere.annotations.recordings import Recordings

    check_file("--out", out, (".csv",))
    found = read_keyframes(
        annotations,
        Recordings(videos, fps),
        names=None if label_map is None else read_label_map(label_map),
        tracks=tracks,
        classes=() if classes is None else tuple(name.strip() for name in classes.split(",")),
        every_s=every,
    )
    names = out.with_suffix(".pbtxt")
    write_keyframes(found, out)
    write_label_map(found.numbers, names)
    people = [each for frame in found.frames for each in frame.people]
    counts = {"videos": len(found.videos), "keyframes": len(found), "boxes": len(people),
              "actions": sum(len(each.actions) for each in people)}  # fmt: skip
    if as_json:
        print_json({"files": [str(out), str(names)], **counts, "notes": list(found.notes)})
        return
    say("written", "green", f"{out}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    say("written", "green", f"{names}: {', '.join(found.classes[:20])}")
    for note in found.notes:
        say("note", "yellow", note)

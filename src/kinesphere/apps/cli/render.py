"""`kinesphere render`: videos of mannequins that play motion capture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, print_json, print_left_out, progress
from kinesphere.apps.cli.options import Json
from kinesphere.core.signals import advise


def render(
    name: Annotated[str, typer.Argument(help="A set of motion capture: {motion capture}.")],
    source: Annotated[Path, typer.Argument(help="Its folder or tar archive.")],
    out: Annotated[Path, typer.Option(help="Folder for videos, their ground truth and manifest.csv.")],
    per_motion: Annotated[
        int, typer.Option(min=1, help="Number of videos of each motion, by various performers.")
    ] = 3,
    size: Annotated[tuple[int, int], typer.Option(help="Height and width of the frames.")] = (120, 160),
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 15,
    flow: Annotated[bool, typer.Option("--flow", help="Write the true motion of all pixels, too.")] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Base seed of performers, scenes, cameras and splits.")
    ] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")] = None,
    as_json: Json = False,
) -> None:
    """Make labelled videos of motion capture: mannequins play it, before many cameras and in many places.

    True joints, masks and motion come with the videos, as files that training reads. Run again after an
    interruption, it goes on where it stopped.
    """
    from kinesphere.synthetic import MannequinSettings
    from kinesphere.synthetic.mocap import render_motions

    check_folder("--out", out)
    advise(GOES_ON)
    settings = MannequinSettings(size=size, fps=fps, flow=flow, seed=seed)
    with progress("Rendering", "videos", hidden=as_json) as advance:
        result = render_motions(
            name, source, out, settings, renderings=per_motion, workers=workers, progress=advance
        )
    if as_json:
        print_json(
            {
                "manifest": str(result.manifest),
                "motions": result.motions,
                "videos": result.videos,
                "skipped": [each.to_json() for each in result.skipped],
            }
        )
        return
    console().print(f"{result.videos} videos of {result.motions} motions: {result.manifest}", soft_wrap=True)
    print_left_out(result.skipped)

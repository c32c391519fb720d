"""`kinesphere import-skeletons`: a data set of skeletons as pose files and a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinesphere.apps.cli.console import Json, console, print_json, progress

SHOWN = 10


def import_skeletons(
    name: Annotated[
        str,
        typer.Argument(help="bandai_namco, bvh, jhmdb, laban_effort, msr_action3d, ntu, pyskl or utkinect."),
    ],
    source: Annotated[Path, typer.Argument(help="Its folder, file or tar archive.")],
    out: Annotated[Path, typer.Option(help="Folder for pose files and manifest.csv.")],
    camera: Annotated[
        list[float] | None,
        typer.Option(help="For motion capture: bearing of a camera in degrees, 0 in front; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn skeletons that others made into pose files and a manifest to train on.

    What the data set leaves out or has damaged is listed.
    """
    from kinesphere.data.skeletons import import_skeletons as import_set

    with progress("Importing", "recordings", hidden=as_json) as advance:
        result = import_set(
            name, source, out, azimuths_deg=tuple(camera or ()), progress=lambda done: advance(done, done)
        )
    if as_json:
        print_json(
            {
                "manifest": str(result.manifest),
                "files": result.files,
                "samples": result.samples,
                "skipped": [{"path": each.name, "reason": each.reason} for each in result.skipped],
            }
        )
        return
    screen = console()
    screen.print(f"{result.samples} samples in {result.files} pose files: {result.manifest}", soft_wrap=True)
    for each in result.skipped[:SHOWN]:
        screen.print(f"[yellow]left out[/]  {each.name}: {each.reason}", soft_wrap=True)
    if len(result.skipped) > SHOWN:
        screen.print(f"    … and {len(result.skipped) - SHOWN} more (see --json)")

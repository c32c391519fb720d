"""`kinesphere generate`: videos, or joints alone, of mannequins, with the truth about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, print_json, progress
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesphere.synthetic import MannequinSettings

Kind = Literal["movements", "recordings", "people", "pairs", "events"]
_COUNTS = {"movements": 60, "recordings": 10, "people": 10, "pairs": 60, "events": 50}


def generate(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="Single movements; recordings of several in a row; people about a place; pairs that meet; "
            "scripted robberies and what resembles them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for videos, their ground truth and manifest.csv.")],
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Number of recordings; of movements, that of videos of each of them."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Movements, with commas between them (default: the set's own).")
    ] = None,
    people: Annotated[
        tuple[int, int] | None, typer.Option(help="Fewest and most people at once, of people.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Length of each recording, of people.")] = None,
    joints_only: Annotated[
        bool, typer.Option("--joints-only", help="Write poses, no videos; of people, pairs and events.")
    ] = False,
    size: Annotated[tuple[int, int] | None, typer.Option(help="Height and width of the frames.")] = None,
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 15,
    performers: Annotated[
        int | None, typer.Option(min=1, help="Number of people over all splits (default: 30, or 60).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Base seed of everything.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")] = None,
    as_json: Json = False,
) -> None:
    """Make labelled videos of mannequins, with boxes, joints and timed annotations that are true.

    Run again after an interruption, it goes on where it stopped.
    """
    from kinesphere.synthetic import CROWD_CLASSES, MannequinSettings

    check_folder("--out", out)
    advise(GOES_ON)
    single = kind in ("movements", "recordings")
    settings = MannequinSettings(
        size=size or ((120, 160) if single else (240, 320)),
        fps=fps,
        performers=performers or (30 if single else 60),  # the smallest split needs several at once
        seed=seed,
    )
    if classes is not None:
        settings = replace(settings, classes=tuple(name.strip() for name in classes.split(",")))
    elif not single:
        settings = replace(settings, classes=CROWD_CLASSES)
    make = _maker(kind, settings, out, count or _COUNTS[kind], people, seconds, joints_only)
    with progress("Generating", "recordings", hidden=as_json) as advance:
        manifest = make(workers=workers, progress=advance)
    if as_json:
        print_json({"manifest": str(manifest)})
        return
    console().print(f"{manifest}", soft_wrap=True)


def _maker(
    kind: Kind,
    settings: MannequinSettings,
    out: Path,
    count: int,
    people: tuple[int, int] | None,
    seconds: float | None,
    joints_only: bool,
) -> Callable[..., Path]:
    """What makes a set of a kind, given workers and progress.

    Raises:
        InvalidSetting: If an option does not apply to the kind.
    """
    from functools import partial

    from kinesphere import synthetic

    if kind != "people" and (people is not None or seconds is not None):
        raise InvalidSetting(f"--people and --seconds are options of people; leave them out for {kind}.")
    if kind in ("movements", "recordings") and joints_only:
        raise InvalidSetting(
            f"--joints-only is an option of people, pairs and events; {kind} are made with their pixels."
        )
    if kind == "movements":
        return partial(synthetic.generate, replace(settings, clips_per_class=count), out)
    if kind == "recordings":
        return partial(synthetic.generate_recordings, settings, out, count=count)
    if kind == "people":
        plain = synthetic.Crowd()
        crowd = replace(plain, people=people or plain.people, duration_s=seconds or plain.duration_s)
        return partial(
            synthetic.generate_people, settings, out, count=count, crowd=crowd, joints_only=joints_only
        )
    make = synthetic.generate_pairs if kind == "pairs" else synthetic.generate_events
    return partial(make, settings, out, count=count, joints_only=joints_only)

"""`kinesphere generate`: videos, or joints alone, of mannequins, with the truth about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, print_json, print_left_out, progress
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinesphere.synthetic import MannequinSettings

Kind = Literal["movements", "recordings", "people", "pairs", "events", "laboratory"]
_COUNTS = {"movements": 60, "recordings": 10, "people": 10, "pairs": 60, "events": 50}
_MADE = {"movements": "videos", "laboratory": "clips"}


def generate(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="Single movements; recordings of several in a row; people about a place; pairs that meet; "
            "scripted robberies and what resembles them; a laboratory of base movements and evaluations."
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
    scale: Annotated[
        float | None, typer.Option(help="Factor of the numbers of clips, of the laboratory (default: 1).")
    ] = None,
    captured: Annotated[
        tuple[str, Path] | None,
        typer.Option(help="Data set of motion capture and its folder or archive, of the laboratory."),
    ] = None,
    joints_only: Annotated[
        bool,
        typer.Option(
            "--joints-only", help="Write poses, no videos; of people, pairs, events and the laboratory."
        ),
    ] = False,
    size: Annotated[tuple[int, int] | None, typer.Option(help="Height and width of the frames.")] = None,
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 15,
    performers: Annotated[
        int | None, typer.Option(min=1, help="Number of people over all splits (default: 30, 60 or 36).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Base seed of everything.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")] = None,
    as_json: Json = False,
) -> None:
    """Make labelled videos of mannequins, with boxes, joints and timed annotations that are true.

    Run again after an interruption, it goes on where it stopped.
    """
    check_folder("--out", out)
    advise(GOES_ON)
    settings = _settings(kind, size, fps, performers, seed, classes)
    if captured is not None:
        _check_captured(kind, scale, joints_only)
        _write_captured(captured, settings, out, as_json)
        return
    make = _maker(kind, settings, out, count, people, seconds, joints_only, scale)
    with progress("Generating", _MADE.get(kind, "recordings"), hidden=as_json) as advance:
        manifest = make(workers=workers, progress=advance)
    if as_json:
        print_json({"manifest": str(manifest)})
        return
    console().print(f"{manifest}", soft_wrap=True)


def _settings(
    kind: Kind,
    size: tuple[int, int] | None,
    fps: int,
    performers: int | None,
    seed: int,
    classes: str | None,
) -> MannequinSettings:
    """The settings of a kind, as far as they were not given."""
    from kinesphere.synthetic import CROWD_CLASSES, LABORATORY, MannequinSettings

    if kind == "laboratory":
        plain = LABORATORY
    elif kind in ("movements", "recordings"):
        plain = MannequinSettings(size=(120, 160), performers=30)
    else:  # the smallest split needs several people at once
        plain = MannequinSettings(classes=CROWD_CLASSES, size=(240, 320), performers=60)
    names = plain.classes if classes is None else tuple(name.strip() for name in classes.split(","))
    return replace(
        plain,
        classes=names,
        size=size or plain.size,
        fps=fps,
        performers=performers or plain.performers,
        seed=seed,
    )


def _check_captured(kind: Kind, scale: float | None, joints_only: bool) -> None:
    if kind != "laboratory" or scale is not None or joints_only:
        raise InvalidSetting(
            "--captured makes a laboratory of motion capture, of all that there is and of joints only: leave "
            f"--scale and --joints-only out, and generate laboratory (got {kind})."
        )


def _write_captured(
    captured: tuple[str, Path], settings: MannequinSettings, out: Path, as_json: bool
) -> None:
    """The tables of a laboratory over motion capture."""
    from kinesphere.synthetic.laboratory.capture import capture_laboratory

    done = capture_laboratory(*captured, out, settings)
    if as_json:
        print_json(
            {
                "manifest": str(done.base),
                "evaluations": str(done.evaluations),
                "skipped": [each.to_json() for each in done.skipped],
            }
        )
        return
    console().print(f"{done.clips} clips: {done.base} and {done.evaluations}", soft_wrap=True)
    print_left_out(done.skipped)


def _maker(
    kind: Kind,
    settings: MannequinSettings,
    out: Path,
    count: int | None,
    people: tuple[int, int] | None,
    seconds: float | None,
    joints_only: bool,
    scale: float | None,
) -> Callable[..., Path]:
    """What makes a set of a kind, given workers and progress.

    Raises:
        InvalidSetting: If an option does not apply to the kind.
    """
    from functools import partial

    from kinesphere import synthetic

    if kind != "people" and (people is not None or seconds is not None):
        raise InvalidSetting(f"--people and --seconds are options of people; leave them out for {kind}.")
    if kind != "laboratory" and scale is not None:
        raise InvalidSetting(f"--scale is an option of the laboratory; use --count for {kind}.")
    if kind in ("movements", "recordings") and joints_only:
        raise InvalidSetting(
            "--joints-only is an option of people, pairs and events, and of the laboratory; "
            f"{kind} are made with their pixels."
        )
    if kind == "laboratory":
        if count is not None:
            raise InvalidSetting("A laboratory has its own numbers of clips; use --scale, not --count.")
        return partial(
            synthetic.generate_laboratory,
            settings,
            out,
            scale=1.0 if scale is None else scale,
            joints_only=joints_only,
        )
    count = count or _COUNTS[kind]
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

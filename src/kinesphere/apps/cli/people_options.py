"""Options that ask about each person of a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.predict.people import PeopleSettings

People = Annotated[
    bool,
    typer.Option("--people", help="Ask about each person alone, along its track, in windows of 2 s."),
]
Tracks = Annotated[
    Path | None,
    typer.Option(
        help="Boxes of people and things from any detector: MOT text or COCO JSON; a folder with a file for "
        "each video. Without it people are found by their poses."
    ),
]
TracksFps = Annotated[
    float | None, typer.Option(help="Frames a second of the tracks' frame numbers; by default the video's.")
]


def people_settings(
    people: bool,
    tracks: Path | None,
    tracks_fps: float | None,
    window: float | None,
    stride: float | None,
    *,
    several: bool,
) -> PeopleSettings | None:
    """How people are asked about; None where they are not.

    Raises:
        InvalidSetting: If tracks are given and nobody is asked about, or several models are asked.
    """
    from kinesphere.predict.people import PeopleSettings
    from kinesphere.predict.people.answer import STRIDE_S, WINDOW_S

    if not people:
        if tracks is not None or tracks_fps is not None:
            raise InvalidSetting("--tracks and --tracks-fps say where people are; give --people as well.")
        return None
    if several:
        raise InvalidSetting("--people takes the answers of one model; name one.")
    if tracks is not None and not tracks.exists():
        raise InvalidSetting(f"There is no {tracks}; name the file or folder of the tracks.")
    length = WINDOW_S if window is None else window
    step = min(STRIDE_S, length) if stride is None and window is None else stride
    return PeopleSettings(length, length / 4 if step is None else step, tracks_fps=tracks_fps)

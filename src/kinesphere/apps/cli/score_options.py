"""Options of an external video classifier, whose scores go into those of segments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.evaluate.files.video_classifier import Fusing, VideoScores

Classifier = Annotated[
    Path | None,
    typer.Option(
        help="Scores of whole videos by a classifier (ActivityNet JSON, CSV, JSON lines, "
        "predictions.parquet, a run): they give proposals their labels and multiply segments' scores."
    ),
]
ClassifierTop = Annotated[int, typer.Option(help="So many of the classifier's labels of a video count.")]
ClassifierWeight = Annotated[
    float,
    typer.Option(help="Of the classifier's scores, 0 to 1: 0.5 is the product, 0 chooses labels alone."),
]


def video_scores_of(path: Path | None) -> VideoScores | None:
    """The scores of a file, where one is named."""
    if path is None:
        return None
    from kinesphere.evaluate.files.video_classifier import read_video_scores

    return read_video_scores(path)


def fusing_of(top: int, weight: float) -> Fusing:
    """How they count."""
    from kinesphere.evaluate.files.video_classifier import Fusing

    return Fusing(top, weight)


def refuse_of_segments(lists: Mapping[str, str | None], errors: str | None, classifier: Path | None) -> None:
    """Refuse what boxes have not.

    Raises:
        InvalidSetting: If one of the options is given.
    """
    if any(value is not None for value in lists.values()):
        raise InvalidSetting(
            "AVA's annotations say by themselves which frames count; leave --videos, --subset out and "
            "name frames that do not count by --excluded."
        )
    given = {"--errors": errors, "--classifier": classifier}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise InvalidSetting(f"{wrong[0]} is of timed segments; boxes of --protocol ava have none.")

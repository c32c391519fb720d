"""`score`: the predictions of a model and the report over them, of the clips that may test it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kinesphere.clips.augment.background import Background
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import Views
from kinesphere.data.manifest import Manifest
from kinesphere.evaluate.evaluator import collect, environment_of, protocol_of
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.evaluate.seen import choose, seen_by
from kinesphere.predict.video_predictor import VideoPredictor


@dataclass(frozen=True)
class Reading:
    """How the clips of a test are read.

    Attributes:
        views: Clips and crops whose probabilities are averaged; None for those of the model's own test.
        extracts: Where extracted files of flow, poses and masks lie.
        background: What becomes of the background of the people.
        progress: Called with the number of clips done and their total.
    """

    views: Views | None = None
    extracts: Extracts = Extracts()  # noqa: RUF009 (frozen)
    background: Background = "keep"
    progress: Callable[[int, int], None] | None = None


def score(
    predictor: VideoPredictor,
    manifest: Manifest,
    *,
    split: str | None = None,
    reading: Reading = Reading(),
    date: str = "",
) -> tuple[Predictions, Report]:
    """What a model says of the clips that may test it, and the score of that.

    Args:
        predictor: One model, or several fused.
        manifest: The data.
        split: The clips to score (see `choose`); None takes those that the model was tested on, and all of
            data that it has not met.
        reading: How the clips are read.
        date: ISO 8601, for the report.

    Raises:
        InvalidManifest: If there is no such split.
        LabelMismatch: If data and model disagree about the labels.
        TooManyFailures: If no clip could be read.
    """
    seen, unknown = seen_by(predictor.provenances)
    scored = choose(manifest, seen, split)
    predictions = collect(
        predictor,
        scored.manifest,
        views=reading.views,
        extracts=reading.extracts,
        background=reading.background,
        progress=reading.progress,
    )
    protocol = protocol_of(
        predictor,
        scored.manifest,
        reading.views or predictor.test_views,
        split=scored.split,
        background=reading.background,
    )
    notes = (*scored.notes, *unknown, *unlisted(manifest))
    return predictions, report_from_predictions(
        predictions, protocol, environment_of(predictor, date), notes=notes
    )


def unlisted(manifest: Manifest) -> tuple[str, ...]:
    """Notes on what of the data is not scored because it could not be listed."""
    return tuple(
        f"{len(rows)} {what}, among them {rows[0].path}: {rows[0].reason}."
        for rows, what in (
            (manifest.wrong, "rows of the table are wrong and left out"),
            (manifest.unused, "files and folders of the data are not used"),
        )
        if rows
    )

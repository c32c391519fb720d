"""Answers of models to the clips of a study, kept so that the same call goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kinesphere.clips.sidecar import Extracts
from kinesphere.core.settings_file import claim_settings
from kinesphere.data import Manifest
from kinesphere.evaluate.evaluator import collect
from kinesphere.evaluate.predictions import Predictions
from kinesphere.predict import VideoPredictor


def kept_answers(
    models: Sequence[VideoPredictor],
    manifest: Manifest,
    out: Path,
    *,
    extracts: Extracts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Predictions]:
    """What each model says of every clip; from its file, if it has been asked before.

    Args:
        models: In their order.
        manifest: The clips.
        out: Folder of the answers.
        extracts: Where sidecar files lie; None for where each model looks for them.
        progress: Called with the number of clips done and their total, for each model anew.

    Raises:
        InvalidSetting: If the folder holds answers of other models, or to other clips.
        LabelMismatch: If data and a model disagree about the labels.
        TooManyFailures: If no clip could be read.
    """
    settings = {"data": manifest.fingerprint(), "models": [model.digest() for model in models]}
    claim_settings(out / "settings.json", settings, output=out)
    tables = []
    for number, model in enumerate(models):
        file = out / f"{number:02d}.parquet"
        if not file.is_file():
            collect(model, manifest, extracts=extracts, progress=progress).write(file)
        tables.append(Predictions.read(file))
    return tables

"""Answers of models to the clips of a study, kept so that the same call goes on where it stopped."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.paths import is_file
from kinesphere.core.settings_file import claim_settings
from kinesphere.data import Manifest
from kinesphere.data.content import contents_of
from kinesphere.evaluate.evaluator import collect
from kinesphere.evaluate.predictions import Predictions
from kinesphere.predict import VideoPredictor

log = logging.getLogger("kinesphere.studies")


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
    settings = {
        "data": manifest.fingerprint(),
        "files": digest_of_files(models, manifest, extracts or models[0].opening.extracts),
        "models": [model.digest() for model in models],
    }
    claim_settings(out / "settings.json", settings, output=out)
    tables = []
    for number, model in enumerate(models):
        file = out / f"{number:02d}.parquet"
        ask = partial(collect, model, manifest, extracts=extracts, progress=progress)
        tables.append(kept_table(file, manifest, ask))
    return tables


def kept_table(file: Path, manifest: Manifest, ask: Callable[[], Predictions]) -> Predictions:
    """The answers to clips that a file keeps; where it is not there, or is damaged, they are asked for.

    Args:
        file: Where they are kept.
        manifest: The clips.
        ask: Gives the answers.
    """
    if is_file(file):
        try:
            table = Predictions.read(file)
            if set(table.ids) <= {sample.id for sample in manifest}:
                return table
            log.warning("%s holds answers to other clips, and is made again.", file)
        except InvalidSetting as error:
            log.warning("%s is made again. %s", file, error)
    ask().write(file)
    return Predictions.read(file)


def digest_of_files(
    models: Sequence[VideoPredictor], manifest: Manifest, extracts: Extracts, also: Sequence[str] = ()
) -> str:
    """A short digest of what answers depend on beside the models: videos and the files beside them.

    Args:
        models: Those that answer, which see what they see.
        manifest: The clips.
        extracts: Where sidecar files lie.
        also: Modalities that are needed beside those that the models see.
    """
    modalities = {*also, *(spec.modality for model in models for spec in model.specs)}
    sidecars = {name: MODALITIES.get(name).sidecar for name in sorted(modalities)}
    files = []
    for sample in manifest:
        files.append(sample.path)
        for name, sidecar in sidecars.items():
            if sidecar is None:
                continue
            with suppress(InvalidAnnotation):  # reading it says what is wrong
                file = sample.sidecar(name) or extracts.find(sample.path, sidecar.suffix)
                files.append(file or sample.path)
    contents = contents_of(files)
    return hashlib.sha256(" ".join(contents[file].digest for file in files).encode()).hexdigest()[:16]

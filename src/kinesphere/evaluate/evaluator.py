"""`evaluate`: a predictor and a manifest in, a report out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from kinesphere import __version__
from kinesphere.clips.augment.background import Background
from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import Views
from kinesphere.core.companions import check_torchvision
from kinesphere.core.errors import LabelMismatch, TooManyFailures
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, FrameCache, Manifest, make_loader
from kinesphere.data.background import Backdrop
from kinesphere.evaluate.intervals import LEVEL
from kinesphere.evaluate.metrics import SHOTS
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.pretraining import pretraining_notes
from kinesphere.evaluate.probes import Perturbation
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.evaluate.seen import as_it_is, choose, seen_by
from kinesphere.predict.video_predictor import VideoPredictor

log = logging.getLogger("kinesphere.evaluate")

Progress = Callable[[int, int], None]
"""Called with the number of clips done and their total."""


def collect(
    predictor: VideoPredictor,
    manifest: Manifest,
    *,
    views: Views | None = None,
    batch_size: int = 8,
    workers: int | Literal["auto"] = "auto",
    cache: FrameCache | None = None,
    extracts: Extracts | None = None,
    background: Background | Backdrop = "keep",
    perturb: Perturbation | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predictions for every clip of a manifest, in the manifest's order.

    Args:
        predictor: The model; its labels number the classes.
        manifest: The clips; each label must be one of the model's.
        views: Test-time clips and crops, averaged; None for those of the model's own test.
        batch_size: Samples at a time.
        workers: Processes that read (see `make_loader`).
        cache: Where decoded frames are kept.
        extracts: Where sidecar files lie; None for where the predictor looks for them.
        background: Change of the background of people, by its name or as a whole.
        perturb: Changes the clips before the model sees them (see `probes`).
        progress: Told how far it is.

    Raises:
        LabelMismatch: If data and model disagree about the labels.
        NotFinite: If the model's answer to a clip is not a number.
        TooManyFailures: If no clip could be read.
    """
    check_torchvision()
    views = views or predictor.test_views
    check_views(views, predictor.labels)
    dataset = _dataset(predictor, manifest, views, extracts, cache, background)
    manifest = dataset.manifest
    indices, skipped, damaged = list[int](), list[Skipped](), list[Skipped]()
    targets, probabilities = [], []
    threads = predictor.threads(batch_size * views.clips * views.crops)
    with make_loader(dataset, batch_size, workers=workers, threads=threads) as loader:
        for batch in loader:
            skipped += batch.failures
            damaged += batch.notes
            if len(batch):
                indices += batch.indices
                targets.append(batch.targets.numpy().astype(np.int64))
                inputs = perturb(batch.inputs) if perturb else batch.inputs
                named = [manifest[i].id for i in batch.indices]
                probabilities.append(predictor.answers(inputs, views, named))
            if progress:
                progress(len(indices) + len(skipped), len(manifest))
    if not indices:
        raise TooManyFailures(
            f"None of the {len(manifest)} clips could be read. The first, {skipped[0].path}: "
            f"{skipped[0].reason}"
        )
    samples = [manifest[i] for i in indices]
    table = Predictions.of(samples, predictor.labels, np.concatenate(targets), np.concatenate(probabilities))
    return replace(table, skipped=tuple(skipped), damaged=tuple(damaged))


def _dataset(
    predictor: VideoPredictor, manifest: Manifest, views: Views, extracts: Extracts | None,
    cache: FrameCache | None, background: Background | Backdrop,
) -> ClipDataset:  # fmt: skip
    """The clips of a manifest, opened as the predictor opens them, under its labels.

    Raises:
        LabelMismatch: If samples have several labels and the model gives one.
    """
    if manifest.labels.multi and not predictor.labels.multi:  # the other way round, one is one of several
        raise LabelMismatch("The data have several labels per clip, the model gives one label per clip.")
    place = predictor.opening.extracts if extracts is None else extracts
    return ClipDataset(
        replace(manifest, labels=predictor.labels),
        predictor.specs,
        train=False,
        views=views,
        opening=replace(predictor.opening, extracts=place, cache=cache),
        background=background,
    )


def evaluate(
    predictor: VideoPredictor,
    manifest: Manifest,
    *,
    views: Views | None = None,
    batch_size: int = 8,
    workers: int | Literal["auto"] = "auto",
    cache: FrameCache | None = None,
    extracts: Extracts | None = None,
    progress: Progress | None = None,
    level: float = LEVEL,
    dataset: str | None = None,
    split: str | None = None,
    date: str = "",
) -> Report:
    """Score a model on a manifest.

    Of the model's own data, the clips that it was tested on are scored, unless `split` is given; clips that
    it learnt from and that are scored all the same are counted in the report's notes and in the log.

    Args:
        predictor: The model.
        manifest: The clips to score.
        views, batch_size, workers, cache, extracts, progress: See `collect`.
        level: Level of the intervals.
        dataset: Name of the data; None takes their folder's.
        split: Name of the part that was selected, for the report; all of the manifest is scored then.
        date: ISO 8601, for the report.

    Raises:
        LabelMismatch: If data and model disagree about the labels.
        TooManyFailures: If no clip could be read.
    """
    seen, unknown = seen_by(predictor.provenances)
    scored = choose(manifest, seen) if split is None else as_it_is(manifest, seen, split)
    notes = (*scored.notes, *unknown, *pretraining_notes(predictor.provenances, manifest.labels))
    for note in notes:
        log.warning("%s", note)
    predictions = collect(
        predictor, scored.manifest, views=views, batch_size=batch_size, workers=workers, cache=cache,
        extracts=extracts, progress=progress,
    )  # fmt: skip
    return report_on(
        predictor, scored.manifest, predictions, views or predictor.test_views, dataset=dataset,
        split=scored.split, date=date, notes=notes, level=level,
    )  # fmt: skip


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
        predictor, scored.manifest, views=reading.views, extracts=reading.extracts,
        background=reading.background, progress=reading.progress,
    )  # fmt: skip
    views = reading.views or predictor.test_views
    before = pretraining_notes(predictor.provenances, manifest.labels)
    notes = (*scored.notes, *unknown, *before, *unlisted(manifest))
    return predictions, report_on(
        predictor, scored.manifest, predictions, views, split=scored.split, background=reading.background,
        date=date, notes=notes,
    )  # fmt: skip


def report_on(
    predictor: VideoPredictor,
    manifest: Manifest,
    predictions: Predictions,
    views: Views,
    *,
    dataset: str | None = None,
    split: str | None = None,
    background: Background = "keep",
    date: str = "",
    notes: tuple[str, ...] = (),
    level: float = LEVEL,
    shots: tuple[int, int] = SHOTS,
) -> Report:
    """The report on what `predictor` said of `manifest`, with the protocol and what computed it."""
    protocol = Protocol(
        dataset=dataset or manifest.root.resolve().name,
        fingerprint=manifest.fingerprint(),
        split=split,
        views=str(views),
        sampling=tuple(str(spec.sampling) for spec in predictor.specs),
        background=background,
    )
    compute = predictor.compute
    environment = Environment(
        model=predictor.name,
        version=__version__,
        torch=torch.__version__,
        device=compute.device,
        precision=compute.precision,
        date=date,
    )
    return report_from_predictions(
        predictions, protocol, environment, level=level, notes=notes,
        training=_training_counts(predictor), shots=shots,
    )  # fmt: skip


def _training_counts(predictor: VideoPredictor) -> Mapping[str, int] | None:
    """Training clips by class, where the model, or all that are fused, learnt from the same number."""
    counts = [origin.class_counts for origin in predictor.provenances]
    return counts[0] if counts and all(each == counts[0] for each in counts) else None


def unlisted(manifest: Manifest) -> tuple[str, ...]:
    """Notes on what of the data is not scored because it could not be listed."""
    return tuple(
        f"{len(rows)} {what}, among them {rows[0].path}: {rows[0].reason}."
        for rows, what in (
            (manifest.wrong, f"{manifest.wrong_are} are wrong and left out"),
            (manifest.unused, f"{manifest.unused_are} of the data are not used"),
        )
        if rows
    )

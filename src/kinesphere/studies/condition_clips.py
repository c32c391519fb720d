"""Which clips a finished cell is asked about under a condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.clips.sampling import windows
from kinesphere.clips.source import duration_of, start_of
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import nearest
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.studies.evaluation_settings import EvaluationSection

if TYPE_CHECKING:
    from kinesphere.predict.video_predictor import VideoPredictor
    from kinesphere.train.recipe import Recipe


def clips_of(folder: Path, recipe: Recipe, section: EvaluationSection, root: str | None) -> Manifest:
    """The clips of a condition: a run's own test, or other data.

    Args:
        folder: The run folder.
        recipe: What the run followed.
        section: The condition.
        root: Folder that relative data lie below.

    Raises:
        InvalidSetting: If the run has no test, or no clip has the values that are asked for.
    """
    from kinesphere.train.resolve import read_samples, resolve

    if section.data is not None:
        path = Path(root or ".") / section.data
        manifest = Manifest.read(path, label_column=section.label_column, group_column=section.group_column)
        manifest = manifest if section.split is None else manifest.where(split=section.split)
        return _with_values(manifest, section.where)
    _, parts = resolve(recipe, read_samples(recipe))
    if parts.test is None:
        raise InvalidSetting(
            f"{folder} was tested on nothing, so {section.name} has no clips; name its data."
        )
    return _with_values(parts.test, section.where)


def _with_values(manifest: Manifest, wanted: Mapping[str, Sequence[str]]) -> Manifest:
    for column, values in wanted.items():
        given = [value_of(sample, column) for sample in manifest]
        kept = [i for i, value in enumerate(given) if value in values]
        if not kept:
            known = sorted({value for value in given if value})
            close = [name for value in values for name in nearest(value, known)] or known[:20]
            hint = f"it holds {', '.join(close)}" if known else "there is no such column"
            raise InvalidSetting(
                f"No clip of {manifest.root} has {' or '.join(values)} in its column {column!r}: {hint}."
            )
        manifest = manifest.select(kept)
    return manifest


def value_of(sample: Sample, column: str) -> str:
    """What a sample has in a further column; empty if nothing."""
    return dict(sample.extra).get(column) or ""


def values_of(samples: Sequence[Sample], column: str) -> list[str]:
    """What all samples have in a further column.

    Raises:
        InvalidSetting: If some have nothing.
    """
    values = [value_of(sample, column) for sample in samples]
    if not all(values):
        raise InvalidSetting(
            f"The data give no {column!r} for {values.count('')} of {len(values)} clips, so its effect is "
            "not tested; name a column that is filled."
        )
    return values


def known_clips(manifest: Manifest, predictor: VideoPredictor) -> Manifest:
    """The clips whose classes a model knows.

    Raises:
        InvalidSetting: If it knows none of them.
    """
    kept = [i for i, sample in enumerate(manifest) if all(each in predictor.labels for each in sample.labels)]
    if not kept:
        most = Counter(name for sample in manifest for name in sample.labels).most_common(3)
        listed = ", ".join(name for name, _ in most)
        raise InvalidSetting(f"The model knows none of the classes of {manifest.root}, such as {listed}.")
    return manifest.select(kept)


def unlabelled_clips(manifest: Manifest, predictor: VideoPredictor) -> Manifest:
    """Clips without labels, under one of the model's that stands for none: only answers are looked at."""
    stand_in = (predictor.labels.names[0],)
    samples = tuple(replace(sample, labels=stand_in) for sample in manifest)
    return replace(manifest, samples=samples, labels=predictor.labels)


def in_windows(manifest: Manifest, predictor: VideoPredictor, section: EvaluationSection) -> Manifest:
    """Recordings cut as the condition asks; as they are where it does not.

    Raises:
        InvalidSetting: If the stride would leave gaps.
        KinesphereError: If a recording cannot be opened.
    """
    if section.window_s is None:
        return manifest
    length, stride = section.window_s, section.stride_s or section.window_s / 2
    samples = []
    for sample in manifest:
        start, end = sample.span or _extent(sample, predictor)
        for first, last in windows(end, length, stride, start):
            name = f"{sample.id} {first:.3f}-{last:.3f}"
            samples.append(replace(sample, id=name, span=(first, last)))
    return replace(manifest, samples=tuple(samples))


def _extent(sample: Sample, predictor: VideoPredictor) -> tuple[float, float]:
    with predictor.opening.open(sample.path) as source:
        return start_of(source), duration_of(source)

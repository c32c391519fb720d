"""What a study's model said of every clip, as a table beside the study's record.

One row per clip: its name without any folder of the machine, group, fold, label (several are joined by `|`),
and the probability of each label to 1e-6, in columns `p:LABEL`. From it all scores and intervals follow
again without training (`python -m benchmarks.studies --rescore`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Predictions

_COLUMNS = ("clip", "group", "fold", "label")
_DIGITS = 6


def write_table(predictions: Predictions, path: Path) -> None:
    """Write `path`, whole or not at all."""
    labels = predictions.labels
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*_COLUMNS, *(f"p:{name}" for name in labels)])
        rows.writerows(
            zip(
                without_folders(predictions.ids),
                without_folders([group or "" for group in predictions.groups]),
                [fold or "" for fold in predictions.folds],
                _told(predictions),
                *zip(*map(_cells, predictions.probabilities, predictions.targets), strict=True),
                strict=True,
            )
        )
    part.replace(path)


def read_table(path: Path, *, multi: bool = False, skipped: Sequence[Skipped] = ()) -> Predictions:
    """Inverse of `write_table`; spans and paths are not kept.

    Args:
        path: The table.
        multi: Whether a clip may carry several labels.
        skipped: Clips that could not be scored, which the study's record lists.

    Raises:
        InvalidSetting: If the table is not one of these.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        if tuple(header[: len(_COLUMNS)]) != _COLUMNS:
            raise ValueError(f"its columns begin with {header[: len(_COLUMNS)]}")
        labels = LabelSet(tuple(name.removeprefix("p:") for name in header[len(_COLUMNS) :]), multi=multi)
        clips, groups, folds, told = list(zip(*rows, strict=True))[: len(_COLUMNS)]
        probabilities = np.array([row[len(_COLUMNS) :] for row in rows], dtype=np.float64)
        hot = np.zeros(probabilities.shape, dtype=np.int64)
        for row, text in zip(hot, told, strict=True):
            row[[labels.index(name) for name in (text.split("|") if multi else [text]) if name]] = 1
    except (OSError, ValueError, IndexError) as error:
        raise InvalidSetting(f"{path} is no table of a study's predictions: {error}.") from error
    return Predictions(
        labels=labels,
        ids=clips,
        paths=clips,
        spans=(None,) * len(clips),
        groups=tuple(group or None for group in groups),
        targets=hot if multi else hot.argmax(1),
        probabilities=probabilities,
        folds=tuple(fold or None for fold in folds),
        skipped=tuple(skipped),
    )


def without_folders(names: Sequence[str]) -> tuple[str, ...]:
    """Names without the folder that all of them share, where they name places on the machine."""
    places = [Path(name) for name in names if name]
    if not any(place.is_absolute() or ".." in place.parts for place in places):
        return tuple(names)
    shared = os.path.commonpath([place.absolute().parent for place in places])
    return tuple(os.path.relpath(Path(name).absolute(), shared) if name else "" for name in names)


def _told(predictions: Predictions) -> list[str]:
    names = predictions.labels.names
    if predictions.labels.multi:
        return ["|".join(names[k] for k in np.flatnonzero(row)) for row in predictions.targets]
    return [names[int(k)] for k in predictions.targets]


def _cells(probabilities: np.ndarray, told: np.ndarray) -> list[str]:
    """Rounded, but for the rare row whose order about the truth hangs on more digits."""
    rounded = probabilities.round(_DIGITS)
    if np.ndim(told) == 0:
        order = [np.sign(values - values[told]) for values in (rounded, probabilities)]
        same = bool((order[0] == order[1]).all()) and rounded.argmax() == probabilities.argmax()
    else:
        same = bool(((rounded > 0.5) == (probabilities > 0.5)).all())
    return [f"{p:.{_DIGITS}f}" for p in rounded] if same else [repr(float(p)) for p in probabilities]

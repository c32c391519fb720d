"""`Report`: the scores of a model with their protocol, as one value and as `report.json`."""

from __future__ import annotations

import json
import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from kinesphere.core.companions import check_torchvision
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.evaluate import metrics
from kinesphere.evaluate.intervals import LEVEL, Units
from kinesphere.evaluate.metrics import (
    SHOTS,
    Calibration,
    ClassScore,
    FamilyScore,
    FrequencyTable,
    Score,
    ShotScore,
    family_confusion,
    family_scores,
    score_kind,
    score_name,
)
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Intervals, Protocol

T = TypeVar("T")


@dataclass(frozen=True)
class FoldScore:
    """The primary score on one held-out fold; the weights of fused models where other folds taught them."""

    name: str
    clips: int
    value: float
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that one evaluation found.

    Attributes:
        scores: Named scores with intervals; the first is the primary one.
        classes: One row per label, in the order of the labels.
        confusion: `(K, K)` int64, rows are true classes; None for multi-label sets.
        calibration: Bins of the reliability diagram.
        clips: Number of clips that were scored.
        skipped: Clips that could not be scored.
        labels: The K labels.
        protocol: What was measured, and how.
        intervals: What the intervals mean.
        environment: What computed the probabilities.
        folds: Primary score of each fold in cross-validation, where there are several.
        damaged: Clips that were scored from what could be read of them.
        notes: What a reader of the scores must know, such as clips that the model had learnt from.
        frequency: Scores by how often classes occur in training; None where that is not known.
    """

    scores: Mapping[str, Score]
    classes: tuple[ClassScore, ...]
    confusion: np.ndarray | None
    calibration: Calibration
    clips: int
    skipped: tuple[Skipped, ...]
    labels: LabelSet
    protocol: Protocol
    intervals: Intervals
    environment: Environment
    folds: tuple[FoldScore, ...] = ()
    damaged: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    frequency: FrequencyTable | None = None

    @property
    def families(self) -> tuple[FamilyScore, ...]:
        """One row per family of classes; none where no classes have a parent in common."""
        if self.confusion is None or len(self.labels.families) == len(self.labels):
            return ()
        return family_scores(self.confusion, self.labels)

    @property
    def primary(self) -> tuple[str, Score]:
        """Name and value of the score that leads the report."""
        name = next(iter(self.scores))
        return name, self.scores[name]

    @property
    def majority(self) -> float:
        """Fraction of the most frequent class: what always answering it would score as top-1."""
        return max(row.support for row in self.classes) / self.clips

    def line(self) -> str:
        """One line for people: score, interval, clips, what was skipped and why."""
        name, score = self.primary
        total = self.clips + len(self.skipped)
        text = f"{score_name(name)} {score} on {_thousands(self.clips)} / {_thousands(total)} clips"
        if self.intervals.units < 2:
            text += f" of a single {self.intervals.kind} (no interval)"
        if self.skipped:
            text += f", {_thousands(len(self.skipped))} unreadable"
        return text

    def confused_pairs(self, count: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent mistakes as (true label, given label, clips), most frequent first."""
        if self.confusion is None:
            return []
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [
            (self.labels.names[i], self.labels.names[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `scores`, `clips` and `skipped` have a shape that scripts rely on."""
        return {
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "clips": self.clips,
            "skipped": [each.to_json() for each in self.skipped],
            "damaged": [each.to_json() for each in self.damaged],
            "line": self.line(),
            "notes": list(self.notes),
            **self._optional(),
            "classes": [asdict(row) for row in self.classes],
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "calibration": asdict(self.calibration),
            "folds": [asdict(fold) for fold in self.folds],
            "labels": self.labels.to_json(),
            "protocol": asdict(self.protocol),
            "intervals": asdict(self.intervals),
            "provenance": asdict(self.environment),
        }

    def _optional(self) -> dict[str, Any]:
        """Parts that reports have only where they say something."""
        plain: dict[str, Any] = {}
        if self.frequency is not None:
            plain["frequency"] = asdict(self.frequency)
        if self.families and self.confusion is not None:
            plain["families"] = {
                "rows": [asdict(row) for row in self.families],
                "confusion": family_confusion(self.confusion, self.labels).tolist(),
            }
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Report:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If a part is missing or of the wrong form.
        """
        try:
            calibration = {key: tuple(values) for key, values in plain["calibration"].items()}
            protocol = {**plain["protocol"], "sampling": tuple(plain["protocol"]["sampling"])}
            confusion = plain["confusion"]
            return cls(
                scores={name: _part(score_kind(name), score) for name, score in plain["scores"].items()},
                classes=tuple(_part(ClassScore, row) for row in plain["classes"]),
                confusion=None if confusion is None else np.array(confusion, dtype=np.int64),
                calibration=_part(Calibration, calibration),
                clips=operator.index(plain["clips"]),
                skipped=tuple(_part(Skipped, each) for each in plain["skipped"]),
                labels=LabelSet.from_json(plain["labels"]),
                protocol=_part(Protocol, protocol),
                intervals=Intervals.from_json(plain["intervals"]),
                environment=_part(Environment, plain["provenance"]),
                folds=tuple(
                    _part(FoldScore, {**fold, "weights": tuple(fold.get("weights", ()))})
                    for fold in plain["folds"]
                ),
                damaged=tuple(_part(Skipped, {**each, "is_failure": False}) for each in plain["damaged"]),
                notes=tuple(map(str, plain.get("notes", ()))),
                frequency=_frequency(plain.get("frequency")),
            )
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise InvalidSetting(f"This is not a report: {error!r}. Evaluate the model again.") from error

    def write(self, path: str | Path) -> None:
        """Write `report.json`."""
        write_text(Path(path), json.dumps(self.to_json(), indent=1, ensure_ascii=False))

    @classmethod
    def read(cls, path: str | Path) -> Report:
        """Read `report.json`.

        Raises:
            InvalidSetting: If the file is missing or is not a report.
        """
        try:
            plain = read_json(Path(path), InvalidSetting, finite=False)
        except InvalidSetting as error:
            raise InvalidSetting(f"Cannot read a report from {path}: {error}") from error
        return cls.from_json(plain)


def _part(kind: type[T], plain: dict[str, Any]) -> T:
    """A data class of a report from plain values, each of the type that it states.

    Raises:
        TypeError: If a name is unknown or missing.
        ValueError: If a value has another type.
    """
    kind(**plain)
    return TypeAdapter(kind).validate_python(plain)


def _frequency(plain: dict[str, Any] | None) -> FrequencyTable | None:
    if plain is None:
        return None
    return _part(FrequencyTable, {**plain, "rows": tuple(_part(ShotScore, row) for row in plain["rows"])})


def report_from_predictions(
    predictions: Predictions,
    protocol: Protocol,
    environment: Environment,
    *,
    level: float = LEVEL,
    notes: tuple[str, ...] = (),
    training: Mapping[str, int] | None = None,
    shots: tuple[int, int] = SHOTS,
) -> Report:
    """Score a table of predictions, of one test set or pooled over folds; `notes` go into the report.

    `training` are training clips by class; with them, scores are also given by frequency, within `shots`.
    """
    check_torchvision()
    p, y, labels = predictions.probabilities, predictions.targets, predictions.labels
    return Report(
        scores=metrics.scores(p, y, labels, groups=predictions.groups, level=level),
        classes=metrics.class_scores(p, y, labels, groups=predictions.groups, level=level),
        confusion=None if labels.multi else metrics.confusion_matrix(p, y, labels),
        calibration=metrics.calibration(p, y, labels),
        clips=len(predictions),
        skipped=predictions.skipped,
        labels=labels,
        protocol=protocol,
        intervals=Intervals.of(Units.of(predictions.groups), level),
        environment=environment,
        folds=_fold_scores(predictions),
        damaged=predictions.damaged,
        notes=(*notes, *_caveats(predictions)),
        frequency=None
        if training is None
        else metrics.frequency_scores(
            p, y, labels, training, shots=shots, groups=predictions.groups, level=level
        ),
    )


def _caveats(predictions: Predictions) -> tuple[str, ...]:
    """What the interval does not tell, where that is a lot."""
    if len(predictions) > 1 and len(set(predictions.paths)) == 1:
        text = "the interval tells nothing of how the model does on another one"
        return (f"All clips are from a single recording: {text}.",)
    return ()


def _fold_scores(predictions: Predictions) -> tuple[FoldScore, ...]:
    sizes = Counter(name for name in predictions.folds if name is not None)
    if len(sizes) < 2:
        return ()
    names = np.array([name or "" for name in predictions.folds])
    use: metrics.Use = "multi_label" if predictions.labels.multi else "single_label"
    primary = next(iter(metrics.metrics_for(use).values()))
    found = []
    for name, clips in sizes.items():
        p, y = predictions.probabilities[names == name], predictions.targets[names == name]
        if predictions.labels.multi and not y.any():  # there is nothing to find in this fold
            continue
        answers = metrics.Answers(p, y, Units.of([None] * clips))
        found.append(FoldScore(name, clips, primary.point(answers)))
    return tuple(found)


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")

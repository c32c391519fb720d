"""What scoring files of results gives, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.metrics.table import Metric, Score, Scored


@dataclass(frozen=True)
class External:
    """What a program beside the one that is scored has put into results.

    Attributes:
        name: File of a video classifier's scores.
        top: So many of its labels of each video count.
        weight: Of its scores, 0 to 1.
        agnostic: Whether the segments have their labels from it.
        without: Scores of the results as they were.
    """

    name: str
    top: int
    weight: float
    agnostic: bool
    without: FileScores

    @property
    def note(self) -> str:
        """What a reader of the scores must know."""
        labels = "which has given their labels" if self.agnostic else "which kept those of its labels"
        return (
            f"Scores are of segments and of an external video classifier, {self.name}, {labels}: the best "
            f"{self.top} of each video, with a weight of {self.weight:g}. Without it mAP is "
            f"{self.without.scores['map']}."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "classifier": self.name,
            "top": self.top,
            "weight": self.weight,
            "labels_from_classifier": self.agnostic,
            "note": self.note,
            "without": self.without.to_json(),
        }


@dataclass(frozen=True)
class FileScores:
    """Scores of one file of results.

    Attributes:
        protocol: Whose rules they follow.
        scores: By name, the primary one first; those that are no fractions are in `counts`.
        titles: How people write each name.
        per_class: Figures of each class by name.
        counts: What was scored and what was not: videos, instances, what was left out.
        rules: What the protocol leaves open, or codes of it disagree about, and what was done here.
        unknown_videos: Videos of the results that the annotations do not know.
        unknown_classes: Likewise classes.
        curves: Numbers that belong to each other, by name.
        external: What another program has put into the results; None for nothing.
    """

    protocol: str
    scores: Mapping[str, Score]
    titles: Mapping[str, str]
    per_class: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    counts: Mapping[str, float | int] = field(default_factory=dict)
    rules: Sequence[str] = ()
    unknown_videos: Sequence[str] = ()
    unknown_classes: Sequence[str] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    external: External | None = None

    def to_json(self) -> dict[str, Any]:
        """The shape that scripts rely on: scores are fractions."""
        ends = {name: [score.low, score.high] for name, score in self.scores.items() if score.low is not None}
        return {
            "protocol": self.protocol,
            "scores": {name: score.value for name, score in self.scores.items()},
            "intervals": ends,
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "counts": dict(self.counts),
            "rules": list(self.rules),
            "unknown_videos": list(self.unknown_videos),
            "unknown_classes": list(self.unknown_classes),
            **{name: list(values) for name, values in self.curves.items()},
            **({} if self.external is None else {"external": self.external.to_json()}),
        }


def scored(metrics: Mapping[str, Metric[Any]], of: Scored) -> tuple[dict[str, Score], dict[str, str]]:
    """The scores of metrics, and how people write their names."""
    return (
        {name: metric.score(of) for name, metric in metrics.items()},
        {name: metric.title for name, metric in metrics.items()},
    )


def check_thresholds(thresholds: Sequence[float], what: str) -> tuple[float, ...]:
    """Thresholds of an overlap.

    Raises:
        InvalidSetting: If there is none, or one is outside (0, 1].
    """
    if not thresholds or not all(0 < each <= 1 for each in thresholds):
        raise InvalidSetting(f"{what} are fractions above 0, up to 1; got {list(thresholds)}.")
    return tuple(dict.fromkeys(thresholds))

"""The table of metrics: every score by name, with its value, its sums over clips, and where it is shown.

One entry serves reports, intervals and training. An interval needs the score with each unit (group, clip or
video) left out in turn; a score that follows from sums over the clips is then a subtraction, and running
scores of training are the same sums added up over batches and processes.

What is scored differs with the kind: answers to clips here, detections, segments, tracks and poses in the
files of these names. A kind is a type that is `Scored`. Its entries may have thresholds, each of which is a
score of its own (`map@0.5`). Nothing here loads torch before clips are scored.
N clips, K classes, U units, R rows of totals, S sums of a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import Registry
from kinesphere.evaluate.intervals import LEVEL, Estimate, Units, interval, without_each

if TYPE_CHECKING:
    from torch import Tensor

Use = Literal[
    "single_label",
    "multi_label",
    "families",
    "graded",
    "training",
    "detections",
    "proposals",
    "segments",
    "tracks",
    "poses",
]
"""Where a metric is shown: in reports of sets with one label per clip, in those of sets with several, besides
where classes have parents, or are grades, while training, where it may pick the best weights, and where files
of results are scored (`kinesphere score`)."""
Sums = Callable[["Tensor", "Tensor", bool], "Tensor"]
"""Probabilities `(N, K)`, targets `(N, K)` in [0, 1] and whether a clip may carry several labels, to what
each clip adds to the sums, `(N, S)`; on any device. A clip with NaN among its probabilities has no answer."""


@dataclass(frozen=True)
class Score(Estimate):
    """A score, a fraction in [0, 1], with its interval."""

    @staticmethod
    def written(value: float) -> str:
        """A value as people read it, with its unit."""
        return f"{100 * value:.1f} %"

    def bounds(self, between: str = ", ") -> str:
        """The interval without a unit; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.1f}{between}{100 * self.high:.1f}"

    def __str__(self) -> str:
        bounds = self.bounds()
        return self.written(self.value) + (f" [{bounds}]" if bounds else "")


class PlainScore(Score):
    """A score that is no fraction, written as the number that it is."""

    @staticmethod
    def written(value: float) -> str:
        return f"{value:.2f}"

    def bounds(self, between: str = ", ") -> str:
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.2f}{between}{self.high:.2f}"


class Scored(Protocol):
    """What the metrics of one kind are computed from."""

    @property
    def units(self) -> Units:
        """What counts as independent."""

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """Number of clips (or what is counted in their place) and sums of each unit, `(U, 1 + S)`."""


S_contra = TypeVar("S_contra", bound=Scored, contravariant=True)


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a model to N clips, and their ground truth.

    Attributes:
        probabilities: `(N, K)` float64.
        targets: `(N,)` class indices, or `(N, K)` zeros and ones where a clip may carry several labels.
        units: What counts as independent.
        labels: The classes, for scores that depend on their families or their order.
    """

    probabilities: np.ndarray
    targets: np.ndarray
    units: Units
    labels: LabelSet | None = None
    _sums: dict[Sums, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def multi(self) -> bool:
        """Whether a clip may carry several labels."""
        return self.targets.ndim == 2

    @cached_property
    def actual(self) -> np.ndarray:
        """Whether each clip carries each class, `(N, K)` bool."""
        if self.multi:
            return self.targets > 0
        hot: np.ndarray = self.targets[:, None] == np.arange(self.probabilities.shape[1])
        return hot

    def sums(self, of: Sums) -> np.ndarray:
        """Clips and sums of each unit, `(U, 1 + S)` float64; metrics of the same sums share the work."""
        if of not in self._sums:
            import torch

            columns = of(torch.from_numpy(self.probabilities), torch.from_numpy(self.actual), self.multi)
            self._sums[of] = self.units.total(np.hstack([np.ones((len(columns), 1)), columns.numpy()]))
        return self._sums[of]


def _clips(scored: Scored) -> float:
    return float(len(scored.units.index))


def _fraction(scored: Scored) -> tuple[float, float]:
    return 0.0, 1.0


@dataclass(frozen=True, eq=False)
class Metric(Generic[S_contra]):
    """One entry of the table. It needs `sums` with `from_sums`, or `value`.

    Attributes:
        title: As people write it.
        uses: Where it is shown.
        value: The score as reports give it; None takes it from the sums.
        sums: What each clip adds (`Sums`; in other kinds what their `sums` asks for); None where the score
            does not follow from sums.
        from_sums: Totals `(R, S)` and numbers of clips `(R,)` to scores `(R,)`.
        left_out: For scores that do not follow from sums: the score with each unit left out `(U,)`, NaN where
            nothing remains to be scored, and the units. Without it and `sums` there is no interval.
        size: How many independent clips the score rests on at most.
        order: Its place among the metrics of a report; the first is the primary one.
        classes: Fewest classes for which it says something.
        higher_is_better: Whether more is better.
        name: Name among the scores of its uses, if it is not that of the entry: each kind has an mAP.
        at: Thresholds, each of which is a score of its own, unless others are asked for. `value`, `sums`,
            `from_sums` and `left_out` then take one as the keyword `at`.
        limits: The lowest and the highest value that the score can have; the interval lies within.
        kind: How it is written.
    """

    title: str
    uses: tuple[Use, ...]
    value: Callable[..., float] | None = None
    sums: Callable[..., Any] | None = None
    from_sums: Callable[..., np.ndarray] | None = None
    left_out: Callable[..., tuple[np.ndarray, Units]] | None = None
    size: Callable[[S_contra], float] = _clips
    order: int = 100
    classes: int = 2
    higher_is_better: bool = True
    name: str | None = None
    at: tuple[float, ...] = ()
    limits: Callable[[S_contra], tuple[float, float]] = _fraction
    kind: type[Score] = Score

    def __post_init__(self) -> None:
        if (self.sums is None) != (self.from_sums is None) or (self.sums is None and self.value is None):
            raise InvalidSetting(f"The metric {self.title!r} needs `value`, or `sums` with `from_sums`.")
        if "training" in self.uses and self.sums is None:
            raise InvalidSetting(f"The metric {self.title!r} has no sums to add up while training.")

    def at_threshold(self, threshold: float) -> Metric[S_contra]:
        """The score at one threshold."""

        def bound(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            return None if function is None else partial(function, at=threshold)

        return replace(
            self,
            title=f"{self.title}@{threshold:g}",
            value=bound(self.value),
            sums=bound(self.sums),
            from_sums=bound(self.from_sums),
            left_out=bound(self.left_out),
            at=(),
        )

    def of_totals(self, totals: np.ndarray) -> np.ndarray:
        """Scores `(R,)` of numbers of clips and sums `(R, 1 + S)`."""
        assert self.from_sums is not None
        return self.from_sums(totals[:, 1:], totals[:, 0])

    def point(self, answers: S_contra) -> float:
        """The score in float64 where it follows from sums, else as reports give it."""
        if self.sums is not None:
            return float(self.of_totals(answers.sums(self.sums).sum(0)[None])[0])
        assert self.value is not None
        return self.value(answers)

    def score(self, answers: S_contra, level: float = LEVEL) -> Score:
        """The score with its interval, if it has one."""
        value = self.point(answers) if self.value is None else self.value(answers)
        if self.left_out is not None:
            without, units = self.left_out(answers)
        elif self.sums is not None:
            units = answers.units
            without = without_each(answers.sums(self.sums), lambda totals: self.of_totals(totals)[:, None])[
                :, 0
            ]
        else:
            return self.kind(value)
        low, high = self.limits(answers)
        width = high - low
        ends = interval((value - low) / width, (without - low) / width, units, self.size(answers), level)
        return self.kind(value, *((None, None) if ends is None else (low + width * end for end in ends)))


METRICS: Registry[Metric[Any]] = Registry(
    "metric", Metric, package="kinesphere.evaluate.metrics", group="kinesphere.metrics"
)


def metrics_for(
    use: Use, classes: int | None = None, at: Mapping[str, Sequence[float]] | None = None
) -> dict[str, Metric[Any]]:
    """The metrics of a use by name, the primary one first.

    Args:
        use: Where they are shown.
        classes: K; None for any number.
        at: Thresholds of metrics that have some, by the metric's name; none shows it at its own ones.
    """
    asked = at or {}
    known = [(name, METRICS.get(name)) for name in METRICS]
    fitting = [
        (metric.name or name, metric)
        for name, metric in known
        if use in metric.uses and (classes is None or metric.classes <= classes)
    ]
    found: dict[str, Metric[Any]] = {}
    for name, metric in sorted(fitting, key=lambda item: (item[1].order, item[0])):
        if metric.at:
            thresholds = asked.get(name, metric.at)
            found |= {f"{name}@{each:g}": metric.at_threshold(each) for each in thresholds}
        else:
            found[name] = metric
    return found


def score_name(name: str) -> str:
    """`mean_class_accuracy` as people write it; a report may hold scores that are not known here."""
    return METRICS.get(name).title if name in METRICS else name


def ordinal_scores(names: Collection[str]) -> tuple[str, ...]:
    """Those of some scores that look at the order of grades, in the order of reports."""
    return tuple(name for name in metrics_for("graded") if name in names)


def score_kind(name: str) -> type[Score]:
    """How a score is written."""
    return METRICS.get(name).kind if name in METRICS else Score


def lower_is_better(name: str) -> bool:
    """Whether less of a score is better."""
    return name in METRICS and not METRICS.get(name).higher_is_better


def check_table(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> np.ndarray:
    """The probabilities within [0, 1] to the last bit; a table that contradicts itself is refused.

    Sums of fractions come to 1 + 2e-16, which torchmetrics takes for a sign that the table holds logits.

    The arguments are those of `scores`.

    Raises:
        InvalidSetting: If it is empty, has fewer than two labels, or shapes or ranges are wrong.
    """
    classes = len(labels)
    if classes < 2:
        raise InvalidSetting(f"Scores need at least two labels to tell apart; got {list(labels)}.")
    if len(probabilities) == 0:
        raise InvalidSetting("There is no clip to score: the table of predictions is empty.")
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        raise InvalidSetting(
            f"Predictions over {classes} labels are a table (N, {classes}); got {probabilities.shape}."
        )
    expected = probabilities.shape if labels.multi else probabilities.shape[:1]
    if targets.shape != expected:
        raise InvalidSetting(f"Targets need shape {expected} to match the predictions; got {targets.shape}.")
    if not (
        np.isfinite(probabilities).all() and probabilities.min() >= -1e-6 and probabilities.max() <= 1 + 1e-6
    ):
        raise InvalidSetting("Probabilities must lie in [0, 1]; some do not or are not numbers.")
    top = 1 if labels.multi else classes - 1
    if targets.min() < 0 or targets.max() > top:
        raise InvalidSetting(f"Targets must lie in 0..{top}; got {int(targets.min())}..{int(targets.max())}.")
    return probabilities.clip(0, 1)


def scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> Mapping[str, Score]:
    """All scores of a table of predictions by name, with intervals; the first is the primary one.

    Args:
        probabilities: `(N, K)`.
        targets: `(N,)` class indices, or `(N, K)` zeros and ones for multi-label sets.
        labels: The K labels.
        groups: Performer or source of each clip, taken whole by the intervals.
        level: Level of the intervals.

    Raises:
        InvalidSetting: If the table is empty or contradicts itself.
    """
    probabilities = check_table(probabilities, targets, labels)
    units = Units.of(groups if groups is not None else [None] * len(targets))
    answers = Answers(probabilities, targets, units, labels)
    chosen: dict[str, Metric[Any]] = {}
    for use in uses_of(labels):
        chosen |= metrics_for(use, len(labels))
    return {name: metric.score(answers, level) for name, metric in chosen.items()}


def uses_of(labels: LabelSet) -> tuple[Use, ...]:
    """The uses whose metrics a report on these classes shows, the one of the primary score first."""
    if labels.multi:
        return ("multi_label",)
    uses: list[Use] = ["single_label"]
    if len(labels.families) < len(labels):
        uses.append("families")
    if labels.graded:
        uses.append("graded")
    return tuple(uses)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, 0 where the whole is 0."""
    quotient = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient

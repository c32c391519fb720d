"""Classes by how often they occur in training: many-shot, medium-shot and few-shot (Liu et al. 2019).

K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.intervals import LEVEL, Units, interval, without_each
from kinesphere.evaluate.metrics.recognition import average_precisions, class_counts
from kinesphere.evaluate.metrics.table import Answers, check_table, ratio

SHOTS = (20, 100)
"""Training clips: below the first a class is few-shot, above the second many-shot (Liu et al. 2019)."""


@dataclass(frozen=True)
class ShotScore:
    """The classes of one range of frequency.

    Attributes:
        name: `many`, `medium` or `few`.
        classes: Number of classes, those without a scored clip included.
        training_clips: Clips of them in training.
        clips: Clips of them that were scored.
        value: Mean class accuracy, or mAP where a clip may carry several labels, over the classes that
            occur; None where none does.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
    """

    name: str
    classes: int
    training_clips: int
    clips: int
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FrequencyTable:
    """Scores by frequency in training.

    Attributes:
        few_below: Classes with fewer training clips are few-shot.
        many_above: Classes with more training clips are many-shot.
        rows: Many, medium and few, those without a class left out.
    """

    few_below: int
    many_above: int
    rows: tuple[ShotScore, ...]

    def sentence(self) -> str:
        """For people: what the names mean."""
        return (
            f"Many-shot classes have more than {self.many_above} clips in training, few-shot ones fewer than "
            f"{self.few_below}."
        )


def check_shots(shots: tuple[int, int]) -> tuple[int, int]:
    """The thresholds, if they are some.

    Raises:
        InvalidSetting: If they are not two rising numbers.
    """
    few, many = shots
    if not 0 < few <= many:
        raise InvalidSetting(
            f"Few-shot and many-shot thresholds rise, such as 20 and 100; got {list(shots)}."
        )
    return few, many


def frequency_scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    training: Mapping[str, int],
    *,
    shots: tuple[int, int] = SHOTS,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> FrequencyTable:
    """Scores of the classes that were frequent in training, of the rare ones, and of those between.

    Args:
        probabilities, targets, labels, groups, level: See `scores`.
        training: Training clips by class; a class that is not named has none.
        shots: Training clips below which a class is few-shot, and above which it is many-shot.

    Raises:
        InvalidSetting: If the thresholds do not rise, or the table contradicts itself.
    """
    few, many = check_shots(shots)
    probabilities = check_table(probabilities, targets, labels)
    units = Units.of(groups if groups is not None else [None] * len(targets))
    answers = Answers(probabilities, targets, units, labels)
    counts = np.array([training.get(name, 0) for name in labels])
    chosen = {"many": counts > many, "medium": (counts >= few) & (counts <= many), "few": counts < few}
    rows = tuple(
        _row(name, answers, np.flatnonzero(each), int(counts[each].sum()), level)
        for name, each in chosen.items()
        if each.any()
    )
    return FrequencyTable(few, many, rows)


def _row(name: str, answers: Answers, classes: np.ndarray, training: int, level: float) -> ShotScore:
    support = answers.actual[:, classes].sum(0)
    clips, present = int(support.sum()), classes[support > 0]
    if not len(present):
        return ShotScore(name, len(classes), training, clips, None)
    if answers.multi:
        found = average_precisions(answers.probabilities[:, present], answers.targets[:, present])
        return ShotScore(name, len(classes), training, clips, float(np.nanmean(found)))
    known = answers.probabilities.shape[1]
    sums = answers.sums(class_counts)[:, 1:]
    sums = sums[:, [*present, *(2 * known + present)]]  # right answers, then clips, of the classes

    def recall(totals: np.ndarray) -> np.ndarray:
        right, actual = np.split(totals, 2, axis=1)
        return ratio(ratio(right, actual).sum(1), (actual > 0).sum(1))[:, None]

    value = float(recall(sums.sum(0)[None])[0, 0])
    size = len(present) ** 2 / (1 / support[support > 0]).sum()  # as of equally frequent classes
    ends = interval(value, without_each(sums, recall)[:, 0], answers.units, float(size), level)
    return ShotScore(name, len(classes), training, clips, value, *(ends or (None, None)))

"""Scores of classes that have parents: whether the answer is of the right family, and which it is taken for.

N clips, K classes, F families, U units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.intervals import Units, without_each
from kinesphere.evaluate.metrics.table import METRICS, Answers, Metric, ratio


@dataclass(frozen=True)
class FamilyScore:
    """One row of the table of families.

    Attributes:
        family: Name of the parent.
        classes: Its classes.
        support: Clips of them.
        right: Clips whose class was answered.
        within: Clips that were taken for another class of the family.
        outside: Clips that were taken for a class of another family.
    """

    family: str
    classes: tuple[str, ...]
    support: int
    right: int
    within: int
    outside: int


def family_scores(matrix: np.ndarray, labels: LabelSet) -> tuple[FamilyScore, ...]:
    """The table of families in their order.

    Args:
        matrix: `(K, K)` clips by true class and answer.
        labels: The K classes.
    """
    family = np.array(labels.family_indices)
    rows = []
    for number, name in enumerate(labels.families):
        members = np.flatnonzero(family == number)
        own = matrix[members]
        support, right = int(own.sum()), int(np.trace(own[:, members]))
        inside = int(own[:, members].sum())
        classes = tuple(labels.names[k] for k in members.tolist())
        rows.append(FamilyScore(name, classes, support, right, inside - right, support - inside))
    return tuple(rows)


def family_confusion(matrix: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Clips of family row that were taken for family column, `(F, F)`, from that of classes `(K, K)`."""
    member = np.eye(len(labels.families), dtype=matrix.dtype)[list(labels.family_indices)]
    confusion: np.ndarray = member.T @ matrix @ member
    return confusion


def _right_family(answers: Answers) -> np.ndarray:
    """Whether the most probable class of each clip is of the right family, `(N,)`."""
    assert answers.labels is not None
    family = np.array(answers.labels.family_indices)
    right: np.ndarray = family[answers.probabilities.argmax(1)] == family[answers.targets]
    return right


def _parent_accuracy(answers: Answers) -> float:
    return float(_right_family(answers).mean())


def _left_out(answers: Answers) -> tuple[np.ndarray, Units]:
    right = _right_family(answers)
    sums = answers.units.total(np.stack([right, np.ones(len(right))], axis=1))
    without = without_each(sums, lambda totals: ratio(totals[:, :1], totals[:, 1:]))[:, 0]
    return without, answers.units


METRICS.add(
    "parent_top1", Metric("parent accuracy", ("families",), _parent_accuracy, left_out=_left_out, order=15)
)

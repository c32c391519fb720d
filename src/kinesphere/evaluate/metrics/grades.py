"""Scores of grades: by how many grades an answer is wrong, and how well grades agree beyond chance.

Both look at the grade alone: of each clip, at the most probable grade of its own family. Which family is
taken for which, the table of families tells. Without parents all classes are one scale. N clips, K classes, F
families of several grades, U units.
"""

from __future__ import annotations

import numpy as np

from kinesphere.evaluate.intervals import Units, without_each
from kinesphere.evaluate.metrics.table import METRICS, Answers, Metric, PlainScore, ratio


def given_grades(answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Family, true grade and answered grade of each clip, `(N,)` each; -1 for a family of one class."""
    assert answers.labels is not None
    family, grade = np.array(answers.labels.scales), np.array(answers.labels.grades)
    own = family[answers.targets]
    within = np.where(family[None] == own[:, None], answers.probabilities, -1.0)
    several = np.bincount(family)[own] > 1
    return (
        np.where(several, own, -1),
        np.where(several, grade[answers.targets], -1),
        np.where(several, grade[within.argmax(1)], -1),
    )


def _largest_error(answers: Answers) -> tuple[float, float]:
    assert answers.labels is not None
    return 0.0, float(max(1, *answers.labels.grades))


def _error_sums(answers: Answers) -> np.ndarray:
    """Errors in grades and number of graded clips of each unit, `(U, 2)`."""
    family, true, given = given_grades(answers)
    return answers.units.total(np.stack([np.abs(true - given), family >= 0], axis=1).astype(np.float64))


def _mean_error(answers: Answers) -> float:
    errors, clips = _error_sums(answers).sum(0)
    return float(errors / clips) if clips else 0.0


def _error_left_out(answers: Answers) -> tuple[np.ndarray, Units]:
    sums = _error_sums(answers)
    return without_each(sums, lambda totals: ratio(totals[:, :1], totals[:, 1:]))[:, 0], answers.units


def _tables(answers: Answers) -> tuple[np.ndarray, list[int]]:
    """Of each unit the clips by true and given grade, `(U, S)`, one table after another; their sides."""
    assert answers.labels is not None
    family, true, given = given_grades(answers)
    sizes = np.bincount(answers.labels.scales)
    parts, sides = [], []
    for number in np.flatnonzero(sizes > 1):
        side = int(sizes[number])
        cells = np.where(family == number, true * side + given, -1)
        parts.append(cells[:, None] == np.arange(side * side))
        sides.append(side)
    columns = np.concatenate(parts, axis=1) if parts else np.zeros((len(true), 0))
    return answers.units.total(columns.astype(np.float64)), sides


def _kappas(totals: np.ndarray, sides: list[int]) -> np.ndarray:
    """Quadratic kappa of totals `(R, S)`, the mean over families weighted by their clips; `(R,)`.

    1 - sum(w o) / sum(w e) with w = (i - j)^2 (Cohen 1968). A family whose true and given grades are all the
    same one says nothing of agreement and is left out; where none is left, the result is NaN.
    """
    weighted, clips, start = np.zeros(len(totals)), np.zeros(len(totals)), 0
    for side in sides:
        table = totals[:, start : start + side * side].reshape(-1, side, side)
        start += side * side
        penalty = np.square(np.subtract.outer(np.arange(side), np.arange(side))).astype(np.float64)
        count = table.sum((1, 2))
        chance = table.sum(2)[:, :, None] * table.sum(1)[:, None, :]
        expected = ratio((penalty * chance).sum((1, 2)), count)
        known = expected > 0
        kappa = 1 - ratio((penalty * table).sum((1, 2)), expected)
        weighted += np.where(known, kappa * count, 0.0)
        clips += np.where(known, count, 0.0)
    return np.where(clips > 0, ratio(weighted, clips), np.nan)


def _quadratic_kappa(answers: Answers) -> float:
    tables, sides = _tables(answers)
    value = float(_kappas(tables.sum(0)[None], sides)[0])
    return value if np.isfinite(value) else 0.0


def _kappa_left_out(answers: Answers) -> tuple[np.ndarray, Units]:
    tables, sides = _tables(answers)
    return without_each(tables, lambda totals: _kappas(totals, sides)[:, None])[:, 0], answers.units


METRICS.add(
    "grade_mae",
    Metric(
        "mean error in grades", ("graded",), _mean_error, left_out=_error_left_out, order=16,
        higher_is_better=False, limits=_largest_error, kind=PlainScore,
    ),
)  # fmt: skip
METRICS.add(
    "quadratic_kappa",
    Metric(
        "quadratic kappa", ("graded",), _quadratic_kappa, left_out=_kappa_left_out, order=17,
        limits=lambda answers: (-1.0, 1.0), kind=PlainScore,
    ),
)  # fmt: skip

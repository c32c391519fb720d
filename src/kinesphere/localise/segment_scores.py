"""Scores of structured segment networks: the paper's, which have no upper bound, and the bounded ones of
detections.

Zhao et al. 2017 (see `kinesphere.models.temporal.ssn`): the score of a class in a proposal is its probability
p times exp(c) of its completeness c. Proposals are ranked, suppressed and averaged over detectors by that
score. Last of all a score s becomes s / (1 + s), the logistic function of log(p) + c: detections keep their
order, and their scores are from 0 to below 1. 0.5 is a score of 1 by the paper.

P proposals, K classes, N detections.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinesphere.localise.suppression import Suppression, suppressed
from kinesphere.models.temporal.ssn import Verdicts

_SUREST = 80.0
"""A larger completeness counts as this one: the exponential of 89 is too large for 32 bits."""
_BELOW_ONE = float(np.nextafter(1.0, 0.0))


def unbounded(verdicts: Verdicts) -> np.ndarray:
    """Scores `(P, K)` of the paper."""
    completeness = verdicts.completeness.clamp(max=_SUREST).exp()
    scores_PK: np.ndarray = (verdicts.activity[:, 1:].softmax(1) * completeness).double().numpy()
    return scores_PK


def bounded(scores: np.ndarray) -> np.ndarray:
    """Scores of detections, in [0, 1), of those of the paper; the order stays."""
    found: np.ndarray = np.minimum(scores / (1 + scores), _BELOW_ONE)
    return found


def unbounded_rule(rule: Suppression) -> Suppression:
    """The rule for scores of the paper, whose `least_score` is one of detections."""
    least = rule.least_score
    return replace(rule, least_score=least / (1 - least) if least < 1 else np.inf)


def decoded(
    segments_N2: np.ndarray, scores_N: np.ndarray, labels_N: np.ndarray, rule: Suppression
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections that are suppressed by scores of the paper, and get bounded ones: see `suppressed`."""
    segments, scores, labels = suppressed(segments_N2, scores_N, labels_N, unbounded_rule(rule))
    return segments, bounded(scores), labels

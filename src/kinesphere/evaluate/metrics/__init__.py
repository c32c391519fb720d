"""Metrics: one table of scores (`METRICS`, a file per kind), the table of classes, and calibration."""

from kinesphere.evaluate.metrics.calibration import Calibration, calibration
from kinesphere.evaluate.metrics.classes import ClassScore, class_scores, confusion_matrix, recall_interval
from kinesphere.evaluate.metrics.families import FamilyScore, family_confusion, family_scores
from kinesphere.evaluate.metrics.frequency import (
    SHOTS,
    FrequencyTable,
    ShotScore,
    check_shots,
    frequency_scores,
)
from kinesphere.evaluate.metrics.table import (
    METRICS,
    Answers,
    Metric,
    PlainScore,
    Score,
    Use,
    check_table,
    lower_is_better,
    metrics_for,
    ordinal_scores,
    score_kind,
    score_name,
    scores,
)

__all__ = [
    "METRICS",
    "SHOTS",
    "Answers",
    "Calibration",
    "ClassScore",
    "FamilyScore",
    "FrequencyTable",
    "Metric",
    "PlainScore",
    "Score",
    "ShotScore",
    "Use",
    "calibration",
    "check_shots",
    "check_table",
    "class_scores",
    "confusion_matrix",
    "family_confusion",
    "family_scores",
    "frequency_scores",
    "lower_is_better",
    "metrics_for",
    "ordinal_scores",
    "recall_interval",
    "score_kind",
    "score_name",
    "scores",
]

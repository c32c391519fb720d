"""Metrics: one table of scores (`METRICS`, a file per kind), the table of classes, and calibration."""

from kinesphere.evaluate.metrics.calibration import Calibration, calibration
from kinesphere.evaluate.metrics.classes import ClassScore, class_scores, confusion_matrix, recall_interval
from kinesphere.evaluate.metrics.table import (
    METRICS,
    Answers,
    Metric,
    Score,
    Use,
    check_table,
    lower_is_better,
    metrics_for,
    score_name,
    scores,
)

__all__ = [
    "METRICS",
    "Answers",
    "Calibration",
    "ClassScore",
    "Metric",
    "Score",
    "Use",
    "calibration",
    "check_table",
    "class_scores",
    "confusion_matrix",
    "lower_is_better",
    "metrics_for",
    "recall_interval",
    "score_name",
    "scores",
]

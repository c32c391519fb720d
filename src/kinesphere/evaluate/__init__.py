"""Scores with their protocol: metrics, intervals, predictions of a data set, reports."""

from kinesphere.evaluate.intervals import Bootstrap
from kinesphere.evaluate.metrics import Score, Scores
from kinesphere.evaluate.predictions import Predictions, Skipped
from kinesphere.evaluate.protocol import Protocol, Provenance
from kinesphere.evaluate.report import Report, report_from_predictions

__all__ = [
    "Bootstrap",
    "Predictions",
    "Protocol",
    "Provenance",
    "Report",
    "Score",
    "Scores",
    "Skipped",
    "report_from_predictions",
]

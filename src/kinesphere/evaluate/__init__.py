"""Scores with their protocol: metrics, intervals, predictions of a data set, reports."""

from kinesphere.evaluate.evaluator import Reading, collect, evaluate, report_on, score, unlisted
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.predictions import Predictions, fuse, fuse_folds, learn_weights
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.evaluate.seen import Met, Seen, choose, seen_by

__all__ = [
    "Environment",
    "Met",
    "Predictions",
    "Protocol",
    "Reading",
    "Report",
    "Score",
    "Seen",
    "choose",
    "collect",
    "evaluate",
    "fuse",
    "fuse_folds",
    "learn_weights",
    "report_from_predictions",
    "report_on",
    "score",
    "seen_by",
    "unlisted",
]

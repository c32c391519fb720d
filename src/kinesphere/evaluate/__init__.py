"""Scores with their protocol: metrics, intervals, predictions of a data set, reports."""

from kinesphere.evaluate.evaluator import collect, environment_of, evaluate, protocol_of
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.predictions import Predictions, fuse, fuse_folds, learn_weights
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.evaluate.scoring import Reading, score
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
    "environment_of",
    "evaluate",
    "fuse",
    "fuse_folds",
    "learn_weights",
    "protocol_of",
    "report_from_predictions",
    "score",
    "seen_by",
]

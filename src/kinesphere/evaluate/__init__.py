"""Scores with their protocol: metrics, intervals, predictions of a data set, reports."""

from kinesphere.evaluate.evaluator import collect, evaluate, protocol_of, provenance_of
from kinesphere.evaluate.fusion import fuse, fuse_folds, learn_weights
from kinesphere.evaluate.metrics import Score, Scores
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Protocol, Provenance
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.evaluate.scoring import Reading, score
from kinesphere.evaluate.seen import Met, Seen, choose, seen_by

__all__ = [
    "Met",
    "Predictions",
    "Protocol",
    "Provenance",
    "Reading",
    "Report",
    "Score",
    "Scores",
    "Seen",
    "choose",
    "collect",
    "evaluate",
    "fuse",
    "fuse_folds",
    "learn_weights",
    "protocol_of",
    "provenance_of",
    "report_from_predictions",
    "score",
    "seen_by",
]

"""Scores with their protocol: metrics, intervals, predictions of a data set, reports.

Public names load on first use: files of results are scored without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinesphere.evaluate.evaluator import Reading, collect, evaluate, report_on, score, unlisted
    from kinesphere.evaluate.metrics import Score
    from kinesphere.evaluate.predictions import Predictions, fuse, fuse_folds, learn_weights
    from kinesphere.evaluate.protocol import Environment, Protocol
    from kinesphere.evaluate.report import Report, report_from_predictions
    from kinesphere.evaluate.seen import Met, Seen, choose, seen_by

_PUBLIC = {
    "Environment": "kinesphere.evaluate.protocol",
    "Met": "kinesphere.evaluate.seen",
    "Predictions": "kinesphere.evaluate.predictions",
    "Protocol": "kinesphere.evaluate.protocol",
    "Reading": "kinesphere.evaluate.evaluator",
    "Report": "kinesphere.evaluate.report",
    "Score": "kinesphere.evaluate.metrics",
    "Seen": "kinesphere.evaluate.seen",
    "choose": "kinesphere.evaluate.seen",
    "collect": "kinesphere.evaluate.evaluator",
    "evaluate": "kinesphere.evaluate.evaluator",
    "fuse": "kinesphere.evaluate.predictions",
    "fuse_folds": "kinesphere.evaluate.predictions",
    "learn_weights": "kinesphere.evaluate.predictions",
    "report_from_predictions": "kinesphere.evaluate.report",
    "report_on": "kinesphere.evaluate.evaluator",
    "score": "kinesphere.evaluate.evaluator",
    "seen_by": "kinesphere.evaluate.seen",
    "unlisted": "kinesphere.evaluate.evaluator",
}

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


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Predictions: of clips, of folders of them, of long videos window by window, drawn on the picture."""

from kinesphere.clips.archive import Extracts
from kinesphere.predict.annotate import annotate
from kinesphere.predict.opening import Opening
from kinesphere.predict.overlay import FlowOverlay, Overlay
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.predictor import Predictor, Refused, load
from kinesphere.predict.sources import find_sources
from kinesphere.predict.store import PredictionLog, model_digest
from kinesphere.predict.timeline import Segment, Timeline, segments
from kinesphere.predict.timeline_files import read_timeline, write_segments, write_timeline

__all__ = [
    "Extracts",
    "FlowOverlay",
    "Opening",
    "Overlay",
    "Prediction",
    "PredictionLog",
    "Predictor",
    "Refused",
    "Segment",
    "Timeline",
    "annotate",
    "find_sources",
    "load",
    "model_digest",
    "read_timeline",
    "segments",
    "write_segments",
    "write_timeline",
]

"""Predictions: of clips, of folders of them, of long videos window by window, drawn into the video."""

from kinesphere.clips.sidecar import Extracts
from kinesphere.data.sources import Opening
from kinesphere.predict.annotate import annotate
from kinesphere.predict.box import BoxPredictor
from kinesphere.predict.files.registry import TimelineRow, annotation_row
from kinesphere.predict.fusion import FusedPredictor
from kinesphere.predict.loading import load
from kinesphere.predict.overlay import FlowOverlay, Overlay, PoseOverlay
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.segment_rule import SegmentRule, read_rule
from kinesphere.predict.segmentation import Below, Segment, segments
from kinesphere.predict.sources import find_sources
from kinesphere.predict.store import PredictionLog
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.timeline_files import read_timeline, write_segments, write_timeline
from kinesphere.predict.transitions import Transitions, learn_transitions
from kinesphere.predict.video_predictor import VideoPredictor

__all__ = [
    "Below",
    "BoxPredictor",
    "Extracts",
    "FlowOverlay",
    "FusedPredictor",
    "Opening",
    "Overlay",
    "PoseOverlay",
    "Prediction",
    "PredictionLog",
    "Predictor",
    "Segment",
    "SegmentRule",
    "Timeline",
    "TimelineRow",
    "Transitions",
    "VideoPredictor",
    "annotate",
    "annotation_row",
    "find_sources",
    "learn_transitions",
    "load",
    "read_rule",
    "read_timeline",
    "segments",
    "write_segments",
    "write_timeline",
]

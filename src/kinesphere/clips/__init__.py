"""Clips: what a model sees of a video, and the one way to get there."""

from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.augment.settings import PRESETS, Augment, check_flip, check_views, preset
from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.modality import MODALITIES, Modality
from kinesphere.clips.sampling import ClipTimes, TemporalJitter, clip_times, windows
from kinesphere.clips.sheet import contact_sheet
from kinesphere.clips.source import VideoSource
from kinesphere.clips.spec import ClipSpec, Sampling, Views

__all__ = [
    "MODALITIES",
    "PRESETS",
    "Augment",
    "AugmentParameters",
    "Clip",
    "ClipSpec",
    "ClipTimes",
    "Modality",
    "Sampling",
    "TemporalJitter",
    "VideoSource",
    "Views",
    "check_flip",
    "check_views",
    "clip_times",
    "contact_sheet",
    "preset",
    "stack",
    "windows",
]

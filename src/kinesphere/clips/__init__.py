"""Clips: what a model sees of a video, and the one way to get there."""

from kinesphere.clips.clip import Clip
from kinesphere.clips.spec import ClipSpec, Sampling, Views

__all__ = ["Clip", "ClipSpec", "Sampling", "Views"]

"""Recognition while it happens: cameras, network streams, and files played at their own pace."""

from kinesphere.live.annotated import AnnotatedCopy
from kinesphere.live.frame import LiveFrame
from kinesphere.live.observer import ClockObserver, FrameObserver
from kinesphere.live.result import Incident, LiveResult
from kinesphere.live.settings import LiveSettings
from kinesphere.live.summary import Summary
from kinesphere.live.watch import Watching, watch

__all__ = [
    "AnnotatedCopy",
    "ClockObserver",
    "FrameObserver",
    "Incident",
    "LiveFrame",
    "LiveResult",
    "LiveSettings",
    "Summary",
    "Watching",
    "watch",
]

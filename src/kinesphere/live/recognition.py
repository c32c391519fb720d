"""`Recognition`: what looks at the frames of a source; networks that stream, and windows for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kinesphere.live.people import PeopleRecognition
from kinesphere.live.result import Answer
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.live.streams import StreamRecognition
from kinesphere.live.windows import WindowRecognition
from kinesphere.predict.video_predictor import VideoPredictor


class Recognition(Protocol):
    """Something that answers at some of the frames that it is shown."""

    def take(self, shown: Shown) -> None:
        """Take a frame, on the thread that reads; those that are to be answered at are put into the inbox."""
        ...

    def answer(self, shown: Shown) -> Sequence[Answer]:
        """The answers at a frame from the inbox; none where too little was seen for one."""
        ...

    def end(self, error: BaseException | None) -> None:
        """No frame follows, perhaps because of an error: the inbox ends once all are looked at."""
        ...

    def close(self) -> None:
        """Free what was made, and end what runs."""
        ...


def recognition(predictor: VideoPredictor, name: str, settings: LiveSettings, inbox: Inbox) -> Recognition:
    """What suits a predictor: a stream where its network can, else windows; of people always windows.

    Args:
        predictor: What answers.
        name: Name of the source.
        settings: At which rate.
        inbox: Where frames wait that are to be answered at.

    Raises:
        InvalidSetting: If it needs something that is not made of a live source.
        MissingExtra: If poses are needed and MediaPipe is not installed.
        MissingWeights: If MediaPipe's model is not here and cannot be downloaded.
    """
    if settings.people:
        return PeopleRecognition(predictor, name, settings, inbox)
    streaming = StreamRecognition.of(predictor, name, settings, inbox)
    return WindowRecognition(predictor, name, settings, inbox) if streaming is None else streaming

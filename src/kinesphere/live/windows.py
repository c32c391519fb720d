"""`WindowRecognition`: clips of the last seconds, for networks that do not stream and for several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kinesphere.clips.clip import stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.source import WrappedSource
from kinesphere.clips.spec import Views
from kinesphere.live.companion import SLACK_S, Companion, followings, length_s
from kinesphere.live.result import Answer
from kinesphere.live.ring import Ring, Window, asked_for
from kinesphere.live.sampler import Sampler
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.together import nobody_note
from kinesphere.predict.video_predictor import VideoPredictor

ONE_VIEW = Views()


@dataclass(frozen=True, eq=False)
class Seen:
    """What a window shows.

    Attributes:
        window: Its frames.
        known: By modality, what files would hold of them.
        length_s: How long the window is.
    """

    window: Window
    known: dict[str, Any]
    length_s: float


class Lookback:
    """The last seconds of a source, and at which frames windows end.

    The frames are kept whatever the model is doing, for a second longer than a window and a stride, since a
    model that is busy comes late. What is extracted of frames, such as joints, is kept beside them: a window
    then ends with the newest frame that was looked at.

    Args:
        predictor: What answers.
        settings: Length of windows, and their distance.
        inbox: Where the frames wait with which windows end.
        ring: Keeps the frames.
        also: Further modalities that are extracted.

    Raises:
        See `followings`.
    """

    def __init__(
        self,
        predictor: VideoPredictor,
        settings: LiveSettings,
        inbox: Inbox,
        ring: Ring,
        also: Sequence[str] = (),
    ) -> None:
        self._specs, self._settings, self._inbox, self._ring = predictor.specs, settings, inbox, ring
        self._sampler = Sampler()
        self._segment = -1
        following = followings(predictor, settings, also)
        patient = settings.as_fast_as_possible
        self._companion = Companion(following, patient, inbox, self._due) if following else None

    def take(self, shown: Shown) -> None:
        """See `Recognition.take`."""
        length = self._length_s(shown)
        if shown.segment != self._segment:
            self._segment = shown.segment
            self._ring.clear()
            self._sampler.begin()
        self._ring.add(shown.time_s, shown.picture, length + self._stride_s(length) + SLACK_S)
        if self._companion is not None:
            self._companion.take(shown)
        else:
            self._due(shown)

    def seen(self, shown: Shown, before_s: float = 0.0) -> Seen | None:
        """The window that ends with a frame; None where it is not full, or a gap came since.

        Args:
            shown: The frame.
            before_s: So many seconds before the window are shown as well, as far as they are there; then the
                window need not be full.
        """
        length = self._length_s(shown)
        start_s = shown.time_s + shown.frame_s - length
        if shown.segment != self._segment or (start_s < -shown.frame_s / 2 and not before_s):
            return None
        part = before_s > 0
        window = self._ring.window(start_s - before_s, shown.time_s, shown.frame_s, part=part)
        known = {} if self._companion is None else self._companion.content(start_s - before_s)
        return None if window is None or known is None else Seen(window, known, length)

    def end(self, error: BaseException | None) -> None:
        """See `Recognition.end`."""
        (self._inbox if self._companion is None else self._companion).end(error)

    def close(self) -> None:
        """See `Recognition.close`."""
        if self._companion is not None:
            self._companion.close()
        self._ring.clear()

    def _due(self, shown: Shown) -> None:
        """Put a frame into the inbox where a window ends with it."""
        if self._sampler.picks(shown.time_s, self._stride_s(self._length_s(shown)), shown.frame_s):
            self._inbox.put(shown)

    def _length_s(self, shown: Shown) -> float:
        return length_s(self._specs, shown.frame_s, self._settings)

    def _stride_s(self, length: float) -> float:
        return self._settings.stride_s or length / 4


class WindowRecognition:
    """Answers every few moments about the window that ends there.

    The frames of the last seconds are kept at the size that the clips' readers ask for, and read as those of
    a file are.

    Args:
        predictor: What answers.
        name: Name of the source.
        settings: Length of windows, and their distance.
        inbox: Where the frames wait with which windows end.

    Raises:
        See `recognition`.
    """

    def __init__(self, predictor: VideoPredictor, name: str, settings: LiveSettings, inbox: Inbox) -> None:
        self._predictor, self._name = predictor, name
        ring = Ring(name, partial(asked_for, predictor.specs))
        self._back = Lookback(predictor, settings, inbox, ring)
        self.take, self.end, self.close = self._back.take, self._back.end, self._back.close

    def answer(self, shown: Shown) -> Sequence[Answer]:
        """See `Recognition.answer`."""
        seen = self._back.seen(shown)
        if seen is None:
            return ()
        predictor = self._predictor
        end_s = shown.time_s + shown.frame_s
        source = WrappedSource(seen.window, known=seen.known, preparation=predictor.opening.preparation)
        span = (max(end_s - seen.length_s, 0.0), end_s)
        inputs = [
            stack(MODALITIES.get(spec.modality).read(source, spec, span, views=ONE_VIEW))
            for spec in predictor.specs
        ]
        named = [f"{self._name} at {shown.time_s:.2f} s"]
        [row] = predictor.answers([x[None] for x in inputs], ONE_VIEW, named)
        notes = nobody_note(predictor, inputs)
        said = Prediction(row, predictor.labels, self._name, span, 1, notes, predictor.rejection)
        return (Answer(said),)

"""`StreamRecognition`: a streaming network, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting, NotFinite
from kinesphere.live.result import Answer
from kinesphere.live.ring import Window
from kinesphere.live.sampler import Sampler
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.stream import Stream
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video import Frames


class StreamRecognition:
    """Shows a streaming network frame after frame, and asks about the latest, as many as its clips have.

    What such a network sees in a frame depends on all since it began, and it learnt with clips: so it begins
    anew after `renew_clips` of their lengths, while what it saw of the latest frames counts on.

    Args:
        predictor: Of a network that streams.
        stream: The network's.
        name: Name of the source.
        settings: At which rate.
        inbox: Where frames wait.
    """

    def __init__(
        self, predictor: Predictor, stream: Stream, name: str, settings: LiveSettings, inbox: Inbox
    ) -> None:
        self._predictor, self._stream = predictor, stream
        self._name, self._settings, self._inbox = name, settings, inbox
        self._contract = predictor.spec
        self._spec = self._contract.with_(sampling=Sampling("dense", 1))
        self._sampler = Sampler()
        self._taken, self._answered = -1, -1  # segments
        self._frames = 0
        self._latest: deque[float] = deque(maxlen=self._contract.length)

    @classmethod
    def of(
        cls, predictor: VideoPredictor, name: str, settings: LiveSettings, inbox: Inbox
    ) -> StreamRecognition | None:
        """Of a predictor whose network streams; None of another."""
        if not isinstance(predictor, Predictor):
            return None
        try:
            return cls(predictor, Stream(predictor), name, settings, inbox)
        except InvalidSetting:
            return None

    def take(self, shown: Shown) -> None:
        """See `Recognition.take`."""
        if shown.segment != self._taken:
            self._taken = shown.segment
            self._sampler.begin()
        step_s = _step_s(self._contract, shown.frame_s, self._settings)
        if self._settings.rate == "source" or self._sampler.picks(shown.time_s, step_s, shown.frame_s):
            self._inbox.put(shown)

    def answer(self, shown: Shown) -> Sequence[Answer]:
        """See `Recognition.answer`."""
        if shown.segment != self._answered:
            self._answered, self._frames = shown.segment, 0
            self._stream.reset()
            self._latest.clear()
        if self._settings.renew_clips and self._frames >= self._settings.renew_clips * self._contract.length:
            self._frames = 0
            self._stream.renew()
        [clip] = MODALITIES.get(self._spec.modality).read(_Single.of(self._name, shown), self._spec)
        self._stream.take(clip.data[None], [shown.time_s])
        self._frames += 1
        self._latest.append(shown.time_s)
        self._stream.forget(self._latest[0])
        row = self._stream.answer()
        predictor = self._predictor
        if not np.isfinite(row).all():
            raise NotFinite(
                f"The answer of {predictor.name} to {self._name} at {shown.time_s:.2f} s is not a number, "
                f"in {predictor.compute.precision}; check its weights, or try precision fp32."
            )
        span = (self._latest[0], shown.time_s + shown.frame_s)
        answer = Prediction(row, predictor.labels, self._name, span, rejection=predictor.rejection)
        return (Answer(answer),)

    def end(self, error: BaseException | None) -> None:
        """See `Recognition.end`."""
        self._inbox.end(error)

    def close(self) -> None:
        """See `Recognition.close`."""
        self._stream.reset()


class _Single(Window):
    """One frame as a source of clips."""

    _shown: Shown

    @classmethod
    def of(cls, name: str, shown: Shown) -> _Single:
        single = cls(name, shown.picture.size, np.array([shown.time_s]), {}, shown.frame_s)
        object.__setattr__(single, "_shown", shown)
        return single

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        pixels = self._shown.picture.rgb(size)[None]
        return Frames(pixels.transpose(0, 3, 1, 2), self.times)


def _step_s(spec: ClipSpec, frame_s: float, settings: LiveSettings) -> float:
    """Seconds between the frames that a network is shown, by the contract of its clips.

    Args:
        spec: The contract.
        frame_s: Seconds between the frames of the source.
        settings: How long a span is whose frames are spread evenly.
    """
    if spec.sampling.kind == "uniform":
        return settings.window_s / spec.length
    return spec.sampling.interval * (frame_s if spec.fps is None else 1 / spec.fps)

"""`StreamRecognition`: a streaming network, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.live.ring import Window
from kinesphere.live.sampler import Sampler
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Inbox, Shown
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.streamed import Streamed, StreamedState
from kinesphere.video import Frames


@dataclass
class _Run:
    """The network since one of the frames."""

    state: StreamedState
    began_s: float


class StreamRecognition:
    """Shows a streaming network frame after frame.

    Such networks weigh all that they have seen since they began, and after an hour that is an hour. So a
    second run of the network begins when the first has seen a clip's length, and takes its place when that
    has seen `memory_clips` of them: an answer rests on what the network learnt to look at, and no more.

    Args:
        streamed: The network.
        name: Name of the source.
        settings: At which rate.
        inbox: Where frames wait.
    """

    def __init__(self, streamed: Streamed, name: str, settings: LiveSettings, inbox: Inbox) -> None:
        self._streamed, self._name, self._settings, self._inbox = streamed, name, settings, inbox
        self._sampler = Sampler()
        self._taken, self._answered = -1, -1  # segments
        self._runs: list[_Run] = []

    def take(self, shown: Shown) -> None:
        """See `Recognition.take`."""
        if shown.segment != self._taken:
            self._taken = shown.segment
            self._sampler.begin()
        step_s = _step_s(self._streamed.contract, shown.frame_s, self._settings)
        if self._settings.rate == "source" or self._sampler.picks(shown.time_s, step_s, shown.frame_s):
            self._inbox.put(shown)

    def answer(self, shown: Shown) -> Prediction:
        """See `Recognition.answer`."""
        if shown.segment != self._answered:
            self._answered = shown.segment
            self._runs = []
        length, memory = self._streamed.contract.length, self._settings.memory_clips
        if memory and len(self._runs) > 1 and self._runs[0].state.frames >= memory * length:
            self._runs.pop(0)
        ages = [run.state.frames for run in self._runs]
        if not ages or (memory and len(ages) == 1 and ages[0] >= (memory - 1) * length):
            self._runs.append(_Run(self._streamed.begin(), shown.time_s))
        frames = self._frames(shown)
        rows = []
        for run in self._runs:
            probabilities, run.state = self._streamed.step(frames, run.state)
            rows.append(probabilities[-1])
        predictor = self._streamed.predictor
        return Prediction(
            rows[0],
            predictor.labels,
            self._name,
            (self._runs[0].began_s, shown.time_s + shown.frame_s),
            rejection=predictor.rejection,
        )

    def end(self, error: BaseException | None) -> None:
        """See `Recognition.end`."""
        self._inbox.end(error)

    def close(self) -> None:
        """See `Recognition.close`."""
        self._runs = []

    def _frames(self, shown: Shown) -> torch.Tensor:
        """The frame as the network's contract has it, `(1, C, H, W)`."""
        spec = self._streamed.spec
        [clip] = MODALITIES.get(spec.modality).read(_Single.of(self._name, shown), spec)
        return clip.data


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

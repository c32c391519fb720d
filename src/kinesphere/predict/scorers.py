"""How the windows of a video are computed in order of time: each by itself, or sharing what they can."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.source import WrappedSource, start_of
from kinesphere.clips.spec import Views
from kinesphere.predict.long_video import Window
from kinesphere.predict.stream import Stream, frame_rate, stamps

if TYPE_CHECKING:
    from kinesphere.predict.predictor import Predictor
    from kinesphere.predict.video_predictor import VideoPredictor

Mode = Literal["windows", "streaming"]
"""How windows are computed (see `windowed.Windows`)."""
_SLACK_S = 1.0
"""So much longer than needed features are kept: a frame is displayed from before the window that it is in."""


class Scorer(ABC):
    """Computes the windows of one video in order of time, some at a time."""

    @abstractmethod
    def rows(self, windows: Sequence[Window]) -> np.ndarray:
        """Class probabilities `(W, K)` float64 of the next windows."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What it needs to go on later after the windows so far."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on where `arrays` were taken."""
        return


class ClipScorer(Scorer):
    """Each window by itself."""

    def __init__(self, predictor: VideoPredictor, views: Views) -> None:
        self._predictor, self._views = predictor, views

    def rows(self, windows: Sequence[Window]) -> np.ndarray:
        """See `Scorer.rows`."""
        inputs = inputs_of(windows, len(self._predictor.specs))
        rows: np.ndarray = self._predictor.probabilities(inputs, self._views).cpu().double().numpy()
        return rows


Key = tuple[int, tuple[float, ...]]
"""A snippet of a video: which crop of its frames, and when these begin."""


class FrameScorer(Scorer):
    """What a frame-wise network computes of a frame is computed once for all windows that hold that frame.

    Frames are the same where the windows' clips hold the same crop of the same frames of the video; windows
    whose sampling falls on other frames share nothing, and their answers are the same either way.
    """

    def __init__(self, predictor: Predictor, views: Views) -> None:
        self._predictor, self._views = predictor, views
        self._known: dict[Key, Tensor] = {}

    def rows(self, windows: Sequence[Window]) -> np.ndarray:
        """See `Scorer.rows`."""
        clips = [clip for window in windows for clip in window.clips[0]]
        keys = [self._keys(clip, number % self._views.crops) for number, clip in enumerate(clips)]
        fresh: dict[Key, Tensor] = {}
        for clip, own in zip(clips, keys, strict=True):
            for place, key in enumerate(own):
                if key not in self._known and key not in fresh:
                    fresh[key] = self._snippet(clip, place)
        if fresh:
            features = self._predictor.frame_features(torch.stack(list(fresh.values())))
            self._known.update(zip(fresh, features, strict=True))
        features_BSD = torch.stack([torch.stack([self._known[key] for key in own]) for own in keys])
        each_SVK = self._predictor.from_features(features_BSD).unflatten(0, (len(windows), -1))
        self._forget(windows[-1])
        rows: np.ndarray = self._predictor.averaged(each_SVK, self._views).cpu().double().numpy()
        return rows

    def _keys(self, clip: Clip, crop: int) -> list[Key]:
        size = self._predictor.snippet
        times = clip.times.tolist()
        return [(crop, tuple(times[first : first + size])) for first in range(0, len(times), size)]

    def _snippet(self, clip: Clip, place: int) -> Tensor:
        """The frames of a snippet `(T, C, H, W)`."""
        size = self._predictor.snippet
        return clip.data[place * size : (place + 1) * size]

    def _forget(self, last: Window) -> None:
        begins = last.span[0] - _SLACK_S
        self._known = {key: known for key, known in self._known.items() if key[1][-1] >= begins}


class StreamScorer(Scorer):
    """The frames of all windows as one stream, whose state is carried from the first to the last."""

    def __init__(self, predictor: Predictor, views: Views, window_s: float) -> None:
        self._predictor, self._window_s = predictor, window_s
        self._stream = Stream(predictor, views)
        self._count = 0

    def rows(self, windows: Sequence[Window]) -> np.ndarray:
        """See `Scorer.rows`."""
        # The frames of many windows in longer steps, which cost less a frame.
        if fresh := [stack(window.clips[0]) for window in windows if window.clips[0]]:
            self._take(torch.cat(fresh, 1), windows[0])
        rows = []
        for window in windows:
            start_s, end_s = window.span
            self._stream.forget(start_s)
            rows.append(self._stream.answer(start_s, end_s))
        return np.stack(rows)

    def _take(self, frames_VTCHW: Tensor, window: Window) -> None:
        video = window.videos[0]
        assert isinstance(video, WrappedSource)
        rate = frame_rate(self._predictor.specs[0], video, self._window_s)
        length = frames_VTCHW.shape[1]
        self._stream.take(frames_VTCHW, stamps(self._count, length, rate, start_of(video)))
        self._count += length

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Scorer.arrays`."""
        return {**self._stream.arrays(), "count": np.array(self._count)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """See `Scorer.restore`."""
        self._count = int(arrays["count"])
        self._stream.restore(arrays)


class FusedScorer(Scorer):
    """The weighted mean of what several models compute, each in its own way.

    Args:
        members: The models.
        scorers: What computes each of them.
        weights: Theirs, summing to 1 (see `weights_where_seen`).
        orders: For each model, the numbers of its labels in the order of the fused ones.
        inputs: For each model, the places of its contracts among those of all.
    """

    def __init__(
        self,
        members: Sequence[VideoPredictor],
        scorers: Sequence[Scorer],
        weights: Sequence[float],
        orders: Sequence[Sequence[int]],
        inputs: Sequence[Sequence[int]],
    ) -> None:
        self._weights = weights
        self._members = list(zip(members, scorers, orders, inputs, strict=True))

    def rows(self, windows: Sequence[Window]) -> np.ndarray:
        """See `Scorer.rows`."""
        rows_MWK, blind_WM = [], np.zeros((len(windows), len(self._members)), bool)
        for number, (member, scorer, order, places) in enumerate(self._members):
            own = [_part(window, places) for window in windows]
            rows_MWK.append(scorer.rows(own)[:, list(order)])
            blind_WM[:, number] = nobody_in(member, own)
        weights_WM = weights_where_seen(self._weights, blind_WM)
        total: np.ndarray = np.einsum("wm,mwk->wk", weights_WM, np.stack(rows_MWK))
        return total


def weights_where_seen(weights: Sequence[float], blind: np.ndarray) -> np.ndarray:
    """The weights of M models in each of B samples, `(B, M)`, where some see nobody.

    Those who see somebody, or look at frames, answer alone, with weights of the same ratios. Where none of
    them has a weight, all answer as ever.

    Args:
        weights: M weights, summing to 1.
        blind: bool `(B, M)`: whose answer to which sample means nothing (see `VideoPredictor.sees_nobody`).
    """
    whole = np.broadcast_to(np.asarray(weights, np.float64), blind.shape)
    left = np.where(blind, 0.0, whole)
    total = left.sum(1, keepdims=True)
    fewer = blind.any(1, keepdims=True) & (total > 0)
    seen: np.ndarray = np.where(fewer, left / np.where(total > 0, total, 1.0), whole)
    return seen


def nobody_in(predictor: VideoPredictor, windows: Sequence[Window]) -> np.ndarray:
    """bool `(W,)`: windows whose answer means nothing (see `VideoPredictor.sees_nobody`)."""
    if not predictor.may_see_nobody:
        return np.zeros(len(windows), bool)
    return predictor.sees_nobody(inputs_of(windows, len(predictor.specs)))


def _part(window: Window, places: Sequence[int]) -> Window:
    """A window as a model sees it that has some of the contracts."""
    clips = tuple(window.clips[place] for place in places)
    videos = tuple(window.videos[place] for place in places)
    return Window(window.span, clips, videos, window.notes)


def inputs_of(windows: Sequence[Window], count: int) -> list[Tensor]:
    """The clips of windows as one batch `(B, V, T, ...)` for each of a number of inputs."""
    return [torch.stack([stack(window.clips[i]) for window in windows]) for i in range(count)]

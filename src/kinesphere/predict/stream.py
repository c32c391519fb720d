"""`Stream`: a video as it comes, through a network whose state is carried from frame to frame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.source import WrappedSource, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.runtime.streaming import Streaming, restored, state_arrays
from kinesphere.predict.long_video import Asked, Look, Span

if TYPE_CHECKING:
    from kinesphere.predict.predictor import Predictor

# Frames in a step.
_STEP = {"cpu": 32}
_STEP_GPU = 64
# Times nearer than this are one: what is computed of a clock may come out this much off.
_ROUNDING_S = 1e-6


class Stream:
    """Frames in order of time, each computed once after all that came before it.

    The answer to a part of the stream rests on its own frames, which the network saw knowing those before
    them: it is not what the network says of that part alone.

    Args:
        predictor: Of a streaming network with one input.
        views: One clip, and crops, which are streams side by side.

    Raises:
        InvalidSetting: If the network cannot stream, or the views are of several clips.
    """

    def __init__(self, predictor: Predictor, views: Views = Views()) -> None:  # noqa: B008 (frozen)
        net = predictor.module.net
        if not isinstance(net, Streaming) or len(predictor.specs) != 1:
            raise InvalidSetting(
                f"{predictor.name} cannot stream: its network keeps no state from frame to frame; take one "
                "that does (movinet_a0_stream, tsm_resnet50_online), or leave the streaming mode."
            )
        if views.clips * predictor.specs[0].sampling.clips != 1:
            raise InvalidSetting(
                f"A stream is seen once from beginning to end, so that there is one clip; got views {views}, "
                f"use 1x{views.crops}."
            )
        self._predictor, self._net, self._views = predictor, net, views
        self._features: deque[tuple[float, Tensor]] = deque()
        self._state: Any = net.stream_init(views.crops, predictor.specs[0].size)
        self._is_new = True

    def reset(self) -> None:
        """Begin anew, as after a gap in the video."""
        self._features.clear()
        self._is_new = True

    def renew(self) -> None:
        """Have the network begin anew; what it saw of the frames so far counts on."""
        self._is_new = True

    def take(self, frames: Tensor, times_s: Sequence[float] | np.ndarray) -> None:
        """Compute the next frames.

        Args:
            frames: `(V, T, C, H, W)` as clips hold them (rgb: uint8), V crops of each.
            times_s: `(T,)` when they are, in seconds, ascending.
        """
        if self._is_new:
            self._state = self._net.stream_init(len(frames), (frames.shape[-2], frames.shape[-1]))
            self._is_new = False
        step = _STEP.get(self._predictor.compute.device, _STEP_GPU)
        for first in range(0, frames.shape[1], step):
            part = slice(first, first + step)
            features_VTD, self._state = self._predictor.stream_features(frames[:, part], self._state)
            named = zip(times_s[part], features_VTD.unbind(1), strict=True)
            self._features.extend((float(time_s), each_VD) for time_s, each_VD in named)

    def answer(self, start_s: float = -math.inf, end_s: float = math.inf) -> np.ndarray:
        """Class probabilities `(K,)` float64 of the frames in `[start_s, end_s)`.

        Raises:
            InvalidSetting: If there is no such frame, or it is forgotten.
        """
        first_s, last_s = start_s - _ROUNDING_S, end_s - _ROUNDING_S
        seen = [each_VD for time_s, each_VD in self._features if first_s <= time_s < last_s]
        if not seen:
            raise InvalidSetting(
                f"The stream has no frame from {start_s:.2f} to {end_s:.2f} s; take longer windows, at least "
                "as long as the time between the frames that the network looks at."
            )
        rows_VK = self._predictor.from_features(torch.stack(seen, 1), streaming=True)
        row: np.ndarray = self._predictor.averaged(rows_VK[None], self._views)[0].cpu().double().numpy()
        return row

    def forget(self, before_s: float) -> None:
        """Drop what is known of frames before a time; the network's state stays."""
        while self._features and self._features[0][0] < before_s - _ROUNDING_S:
            self._features.popleft()

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is needed to go on later, as plain arrays."""
        kept = {f"state.{name}": value for name, value in state_arrays(self._state).items()}
        kept["times"] = np.array([time_s for time_s, _ in self._features])
        if self._features:
            features = torch.stack([each for _, each in self._features])
            kept["precision"] = np.array(str(features.dtype).removeprefix("torch."))
            kept["features"] = features.float().cpu().numpy()
        return kept

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on where `arrays` were taken."""
        state = {name.removeprefix("state."): value for name, value in arrays.items() if "state." in name}
        begun = self._net.stream_init(self._views.crops, self._predictor.specs[0].size)
        self._state, self._is_new = restored(begun, state), False
        self._features.clear()
        if "features" in arrays:
            features = torch.from_numpy(arrays["features"].copy())
            kind = getattr(torch, str(arrays["precision"]))
            placed = features.to(self._predictor.compute.device, kind)
            self._features.extend(zip(arrays["times"].tolist(), placed, strict=True))


@dataclass(frozen=True)
class StreamLook(Look):
    """Every frame of a video once, at the rate of the network's clips.

    Attributes:
        window_s: Length of the windows that are answered about, in seconds.
    """

    window_s: float = 1.0

    def asked(self, video: WrappedSource, spans: Sequence[Span | None]) -> list[tuple[Asked | None, ...]]:
        """The frames that each window adds to those before it."""
        (spec,) = self.specs
        rate, start_s = frame_rate(spec, video, self.window_s), start_of(video)
        last = max(1, _frames_before(duration_of(video) - start_s, rate))
        found: list[tuple[Asked | None, ...]] = []
        done = 0
        for span in spans:
            end = last if span is None else min(last, _frames_before(span[1] - start_s, rate))
            if end <= done:
                found.append((None,))
                continue
            part = spec.with_(sampling=Sampling("dense", end - done), fps=rate)
            found.append(((part, (start_s + done / rate, start_s + end / rate)),))
            done = end
        return found


def frame_rate(spec: ClipSpec, video: WrappedSource, window_s: float) -> float:
    """How many frames a second a streaming network looks at, as it does in clips of a window.

    Dense clips tell the time between their frames; those that are spread over a window have so many in it.

    Raises:
        InvalidSetting: If the clips count the source's frames, and its rate is unknown.
    """
    sampling = spec.sampling
    if sampling.kind == "uniform":
        return sampling.length / window_s
    rate = spec.fps or (None if video.fps is None else float(video.fps))
    if rate is None:
        raise InvalidSetting(
            f"Sampling {sampling} counts frames, but the video's frame rate is unknown; set the clip spec's "
            "fps."
        )
    return rate / sampling.interval


def stamps(first: int, count: int, rate: float, start_s: float) -> np.ndarray:
    """`(count,)` seconds in the middle of the frames that follow the first ones of a stream."""
    times: np.ndarray = start_s + (np.arange(first, first + count) + 0.5) / rate
    return times


def _frames_before(seconds: float, rate: float) -> int:
    """How many frames have their middle before a time."""
    return math.ceil((seconds - _ROUNDING_S) * rate - 0.5)

"""Features of videos by any registered recogniser: what reaches its head, window after window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from kinesphere.annotations.extract.unfinished import Unfinished, made_of, unfinished
from kinesphere.clips.source import WrappedSource, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute, SpareMemory
from kinesphere.core.errors import InvalidSetting, NotFinite, UnreadableVideo
from kinesphere.models import Recogniser
from kinesphere.predict.features.file import SUFFIX, VideoFeatures, read_features, write_features
from kinesphere.predict.loading import load
from kinesphere.predict.long_video import Look, SharedVideo, Span, Window
from kinesphere.predict.predictor import Predictor, digest_of
from kinesphere.predict.scorers import Mode, Scorer
from kinesphere.predict.stream import StreamLook
from kinesphere.predict.together import look_of

# What clocks may be off by, as a fraction of a stride.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class FeatureGrid:
    """Which windows of a video get a row of features.

    Windows lie `stride_s` apart from the first frame on, as many as the video holds whole; a video that is
    shorter than a window is one. Everything is in seconds, so that a video of 25 frames a second and one of
    30 have the same grid; only where neither `window_s` nor the model's contract states a length in seconds,
    windows have as many frames as a clip, and are shorter at a higher rate.

    Attributes:
        stride_s: Seconds between the starts of neighbours.
        window_s: Their length; None for that of the model's clip, or in the streaming mode of the stride.
        mode: `"windows"` looks at each by itself; `"streaming"` carries the state of a streaming network from
            frame to frame, and a row is the mean over the frames of its window.

    Raises:
        InvalidSetting: If a length is not positive.
    """

    stride_s: float = 0.5
    window_s: float | None = None
    mode: Mode = "windows"

    def __post_init__(self) -> None:
        if not all(0 < each < math.inf for each in (self.stride_s, self.window_s or 1.0)):
            raise InvalidSetting(
                "Features need a positive stride and window in seconds; got "
                f"{self.stride_s}, {self.window_s}."
            )

    def known_s(self, spec: ClipSpec) -> float | None:
        """Length of the windows of any video; None where the model counts frames at the video's own rate."""
        if self.window_s is not None:
            return self.window_s
        if self.mode == "streaming" or spec.sampling.kind == "uniform":
            return self.stride_s
        return None if spec.fps is None else spec.sampling.length * spec.sampling.interval / spec.fps

    def length_s(self, spec: ClipSpec, video: WrappedSource) -> float:
        """Length of the windows of a video."""
        known_s = self.known_s(spec)
        if known_s is not None:
            return known_s
        if video.fps is None:
            return self.stride_s
        return spec.sampling.length * spec.sampling.interval / float(video.fps)

    def spans(self, start_s: float, end_s: float, length_s: float) -> list[Span]:
        """The windows of a video between its first frame and its end."""
        whole = math.floor((end_s - start_s - length_s) / self.stride_s + _ROUNDING) + 1
        if whole < 1:
            return [(start_s, end_s)]
        starts = start_s + np.arange(whole) * self.stride_s
        return [(start, min(start + length_s, end_s)) for start in starts.tolist()]


class FeaturePredictor(Predictor):
    """A recogniser without its head: in place of probabilities `(B, K)` it gives features `(B, D)`.

    Where logits are averaged behind the head (of positions, of segments), features are averaged alike, so
    that the head on them answers what the network does.

    Args:
        recogniser: The whole model.
        compute: Where and how it runs.
        name: For messages.

    Raises:
        InvalidSetting: If it has several heads, or names its classes in words.
    """

    def __init__(
        self, recogniser: Recogniser, compute: Compute | None = None, *, name: str | None = None
    ) -> None:
        self.origin = f"{recogniser.card.name} {features_digest(recogniser)}"
        super().__init__(recogniser.without_head(), compute, name=name)

    def averaged(self, each_SVK: Tensor, views: Views) -> Tensor:
        """Mean over the views of each sample."""
        return each_SVK.mean(1)

    def _probable(self, logits: Tensor) -> Tensor:
        return logits.flatten(1)


def features_digest(recogniser: Recogniser) -> str:
    """A short digest of what features depend on: input contracts, and all weights but the head's."""
    heads = tuple(f"net.{path}." for path in recogniser.card.head)
    state = {name: each for name, each in recogniser.state_dict().items() if not name.startswith(heads)}
    return digest_of(recogniser.specs, (), state)


@dataclass(frozen=True)
class FeatureExtractor:
    """Makes feature files of videos (see `annotations.extract.extract`).

    Attributes:
        model: A run folder, a model file or a registered `model.tag`.
        grid: Which windows.
        compute: Where and how the model runs; None for the best for this machine.
    """

    model: str
    grid: FeatureGrid = FeatureGrid()
    compute: Compute | None = None

    @property
    def suffix(self) -> str:
        """`.features.npz`."""
        return SUFFIX

    def differs(self, path: Path) -> str | None:
        """What about a feature file is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        features, origin = read_features(path), self._origin()
        if features.origin != origin:
            return f"holds features of {features.origin}, not {origin}"
        if not math.isclose(features.stride_s, self.grid.stride_s):
            return f"has a stride of {features.stride_s:g} s, not {self.grid.stride_s:g} s"
        window_s = self.grid.known_s(self.predictor().specs[0])
        # A video that is shorter than a window is one.
        is_short = len(features) == 1 and math.isclose(
            features.times_s[0] + features.window_s / 2, features.duration_s, abs_tol=_ROUNDING
        )
        if window_s is None or math.isclose(features.window_s, window_s):
            return None
        if is_short and features.window_s < window_s:
            return None
        return f"has windows of {features.window_s:g} s, not {window_s:g} s"

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the features of a video.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidAnnotation: If a file that the model needs beside it is missing or damaged.
            NotFinite: If features are not numbers.
        """
        predictor = self.predictor()
        views = Views(1, predictor.test_views.crops) if self.grid.mode == "streaming" else Views()
        about = made_of(self.grid, self._origin(), predictor.compute, files=[video])
        with unfinished(target, about) as parts, SharedVideo(video, [self._look(predictor, views)]) as shared:
            shared.raise_refusal()
            source = shared.video
            length_s = self.grid.length_s(predictor.specs[0], source)
            spans = self.grid.spans(start_of(source), duration_of(source), length_s)
            self._fill(parts, predictor, predictor.scorer(views, self.grid.mode, length_s), shared, spans)
            times_s = np.array([(start + end) / 2 for start, end in spans])
            seen_s = spans[0][1] - spans[0][0]
            values = np.concatenate([part["rows"] for part in parts]).astype(np.float32)
            made = VideoFeatures(
                values, times_s, seen_s, self.grid.stride_s, duration_of(source), self._origin()
            )
            write_features(target, made, of=video)
            return "; ".join(source.damage) or None

    def windows(self, video: Path, rows: Sequence[int]) -> list[Window]:
        """The clips that some rows of a video's features are made of.

        Args:
            video: Its file.
            rows: Numbers of the rows, ascending.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidAnnotation: If a file that the model needs beside it is missing or damaged.
        """
        predictor = self.predictor()
        with SharedVideo(video, [look_of(predictor, Views())]) as shared:
            shared.raise_refusal()
            length_s = self.grid.length_s(predictor.specs[0], shared.video)
            spans = self.grid.spans(start_of(shared.video), duration_of(shared.video), length_s)
            return list(_sound(shared, [spans[row] for row in rows], 0))

    def predictor(self) -> FeaturePredictor:
        """The model without its head.

        Raises:
            InvalidSetting: If it is a fusion of several, or has several heads.
        """
        return _predictor(self.model, self.compute)

    def _origin(self) -> str:
        suffix = " streaming" if self.grid.mode == "streaming" else ""
        return self.predictor().origin + suffix

    def _look(self, predictor: FeaturePredictor, views: Views) -> Look:
        look = look_of(predictor, views)
        if self.grid.mode == "windows":
            return look
        return StreamLook(look.specs, views, look.opening, self.grid.window_s or self.grid.stride_s)

    def _fill(
        self,
        parts: Unfinished,
        predictor: FeaturePredictor,
        scorer: Scorer,
        shared: SharedVideo,
        spans: list[Span],
    ) -> None:
        """Compute the rows of all windows that are not among the parts yet."""
        if len(parts) and (state := parts.state):
            scorer.restore(state)
        done = sum(len(part["rows"]) for part in parts)
        coming, spare = _sound(shared, spans, done), SpareMemory()
        while batch := list(islice(coming, predictor.windows_at_once(Views(), self.grid.mode))):
            rows = scorer.rows(batch)
            if not np.isfinite(rows).all():
                raise NotFinite(
                    f"Features by {predictor.name} are not numbers; check its weights, or try fp32."
                )
            done += len(batch)
            parts.add({"rows": rows.astype(np.float32)}, done / len(spans), scorer.arrays)
            spare.give_back()


def _sound(shared: SharedVideo, spans: list[Span], first: int) -> Iterator[Window]:
    for (window,) in shared.read(spans, first):
        shared.raise_refusal()
        if window is None:
            raise UnreadableVideo("A window of the video could not be read; check the file.")
        yield window


@lru_cache(maxsize=2)
def _predictor(model: str, compute: Compute | None) -> FeaturePredictor:
    whole = load(model, compute=compute)
    if not isinstance(whole, Predictor):
        raise InvalidSetting(
            f"{model} is several models whose answers are put together, which have no features in common; "
            "extract those of one of them."
        )
    return FeaturePredictor(whole.module, whole.compute, name=whole.name)

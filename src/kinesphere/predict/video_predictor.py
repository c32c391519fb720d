"""`VideoPredictor`: from videos to predictions, whatever computes the probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.source import start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute, cpu_count
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, NotFinite, VideoError
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.data.sources import Opening, Source
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.predict.long_video import damage_of, remarks_on, window_clips
from kinesphere.predict.prediction import NOBODY, Prediction
from kinesphere.predict.timeline import Timeline

_READERS = 4


@dataclass(frozen=True, eq=False)
class _Read:
    """V clips of one source, for each of the model's inputs."""

    inputs: tuple[Tensor, ...]
    source: str
    span: tuple[float, float]
    notes: tuple[str, ...]


class VideoPredictor(ABC):
    """Applies something that scores clips to videos, through its input contracts.

    Args:
        name: For reports.
        compute: Where and how it runs.
        opening: Where files of flow and poses lie, and what becomes of those that are missing.
        preparation: How the files were made that the model learnt from; missing ones are made so.
    """

    def __init__(
        self,
        name: str,
        compute: Compute,
        opening: Opening | None = None,
        preparation: Preparation = Preparation(),  # noqa: B008 (frozen)
    ) -> None:
        self.name = name
        self.compute = compute
        self.opening = replace(opening or Opening(), preparation=preparation)

    @property
    @abstractmethod
    def labels(self) -> LabelSet:
        """The K labels, in the order of the probabilities."""

    @property
    @abstractmethod
    def specs(self) -> tuple[ClipSpec, ...]:
        """The input contracts, one per input."""

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Where the weights come from, of each model that takes part."""
        return ()

    @property
    def rejection(self) -> Rejection | None:
        """When it answers that it knows none of what it sees; None for never."""
        return None

    def for_source(self, source: Source) -> VideoPredictor:
        """What answers about a source: this, unless that depends on what lies beside it."""
        return self

    @property
    def test_views(self) -> Views:
        """Clips and crops that the models' own tests averaged; one of each where that is not known.

        Of fused models that were tested with different views it is the most of them.
        """
        known = [Views.parse(each.test_views) for each in self.provenances if each.test_views is not None]
        return max(known, key=lambda views: views.clips * views.crops, default=Views())

    def threads(self, clips: int) -> int | None:
        """How many threads of the CPU compute so many clips; None where unknown or on another device."""
        return None

    @abstractmethod
    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        """Class probabilities of a batch of samples, averaged over their views.

        Probabilities of mirror images among the views count for the mirrored labels.

        Args:
            inputs: One `(B, V, T, C, H, W)` per spec as `clips` makes them (rgb: uint8).
            views: How the V views were taken.

        Returns:
            float32 `(B, K)` on the compute device; rows sum to 1 for single-label sets.
        """

    def answers(self, inputs: Sequence[Tensor], views: Views, named: Sequence[str]) -> np.ndarray:
        """The probabilities as float64 `(B, K)`, all of them numbers.

        Args:
            inputs: See `probabilities`.
            views: How the views were taken.
            named: What each sample is called in messages.

        Raises:
            NotFinite: If something in them is not a finite number.
        """
        rows: np.ndarray = self.probabilities(inputs, views).cpu().double().numpy()
        for row, name in zip(rows, named, strict=True):
            if problem := self._unsound(row, name):
                raise NotFinite(problem)
        return rows

    def _unsound(self, row: np.ndarray, name: str) -> str:
        """Why an answer `(K,)` is none; empty where it is one."""
        wrong = row[~np.isfinite(row)]
        if not len(wrong):
            return ""
        advice = "check its weights" if self.compute.precision == "fp32" else "try precision fp32"
        return (
            f"The answer of {self.name} to {name} is {wrong[0]}, not probabilities, in "
            f"{self.compute.precision}; {advice}."
        )

    @abstractmethod
    def digest(self) -> str:
        """A short digest of what predictions depend on: weights, labels and input contracts."""

    @property
    def spec(self) -> ClipSpec:
        """The input contract of a model with one input.

        Raises:
            InvalidSetting: If it has several; use `specs`.
        """
        if len(self.specs) != 1:
            raise InvalidSetting(f"{self.name} has {len(self.specs)} inputs; use specs.")
        return self.specs[0]

    def predict(
        self, source: Source, *, span: tuple[float, float] | None = None, views: Views | None = None
    ) -> Prediction:
        """What the model says of a video, or of a span of it.

        Args:
            source: A path, a URL, or the file's bytes.
            span: `(start_s, end_s)`; None for the whole video.
            views: Clips and crops whose probabilities are averaged; None for those of the model's own test.

        Raises:
            VideoError: If it cannot be decoded.
            NotFinite: If the model's answer is not a number.
            SpanOutsideVideo: If the span starts after its end.
        """
        views = views or self.test_views
        check_views(views, self.labels)
        answer = self._predictions([self._read(source, span, views)], views)[0]
        if isinstance(answer, Skipped):
            raise NotFinite(answer.reason)
        return answer

    def predict_many(
        self, sources: Iterable[Source], *, views: Views | None = None, batch_size: int = 8
    ) -> Iterator[Prediction | Skipped]:
        """What the model says of each of many videos, in their order.

        Videos are read ahead in threads and run through the network together. One that cannot be read
        or answered with numbers comes as `Skipped`; the others go on.

        Args:
            sources: Paths, URLs or bytes.
            views: Clips and crops whose probabilities are averaged; None for those of the model's own test.
            batch_size: Videos at a time.

        Raises:
            InvalidSetting: If `batch_size` is not positive.
        """
        if batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one video; got batch_size={batch_size}.")
        views = views or self.test_views
        check_views(views, self.labels)
        return self._predict_many(iter(sources), views, batch_size)

    def _predict_many(
        self, sources: Iterator[Source], views: Views, batch_size: int
    ) -> Iterator[Prediction | Skipped]:
        readers = min(_READERS, cpu_count())
        threads = max(1, cpu_count() // readers)

        def read(source: Source) -> _Read | Skipped:
            try:
                return self._read(source, None, views, threads)
            except (VideoError, InvalidAnnotation, InvalidClip) as error:
                return Skipped(shown(source), str(error))

        with ThreadPoolExecutor(readers) as pool:
            ahead: deque[Future[_Read | Skipped]] = deque(
                pool.submit(read, source) for source in islice(sources, 2 * batch_size)
            )
            try:
                while ahead:
                    batch = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
                    ahead.extend(pool.submit(read, source) for source in islice(sources, len(batch)))
                    done = iter(self._predictions([each for each in batch if isinstance(each, _Read)], views))
                    for each in batch:
                        yield each if isinstance(each, Skipped) else next(done)
            finally:
                for future in ahead:
                    future.cancel()

    def timeline(
        self,
        source: Source,
        *,
        window_s: float,
        stride_s: float,
        views: Views | None = None,
        batch_size: int = 8,
    ) -> Timeline:
        """What the model says of every window of a video, however long.

        Each frame is decoded once, though windows overlap, and no more than a few windows are in memory.

        Args:
            source: A path, or the file's bytes.
            window_s: Length of a window in seconds; a shorter video is one window.
            stride_s: Seconds between the starts of windows; the last window ends with the video.
            views: Clips and crops per window, whose probabilities are averaged; None for those of the
                model's own test.
            batch_size: Windows at a time.

        Raises:
            VideoError: If the video cannot be decoded.
            NotFinite: If the model's answer to a window is not a number.
            InvalidSetting: If window, stride or batch size make no sense, or the source is live.
        """
        if batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one window; got batch_size={batch_size}.")
        views = views or self.test_views
        check_views(views, self.labels)
        windows = window_clips(source, self.specs, window_s, stride_s, views, self.opening)
        spans: list[tuple[float, float]] = []
        rows: list[np.ndarray] = []
        unseen: list[np.ndarray] = []
        notes: tuple[str, ...] = ()
        no_pictures = all(MODALITIES.get(spec.modality).sees_nothing for spec in self.specs)
        while batch := list(islice(windows, batch_size)):
            spans += [window.span for window in batch]
            inputs = [_batched([window.clips[i] for window in batch]) for i in range(len(self.specs))]
            named = [
                f"{shown(source)} from {start:.2f} to {end:.2f} s" for start, end in spans[-len(batch) :]
            ]
            rows.append(self.answers(inputs, views, named))
            # Where there are frames as well, the answer rests on these.
            unseen.append(_sees_nothing(inputs, self.specs) & no_pictures)
            notes = batch[-1].notes
        return Timeline(
            np.concatenate(rows),
            np.array(spans),
            self.labels,
            shown(source),
            nobody=np.concatenate(unseen),
            notes=notes,
            rejection=self.rejection,
        )

    def _read(
        self, source: Source, span: tuple[float, float] | None, views: Views, threads: int | None = None
    ) -> _Read:
        with self.opening.open(source, self.specs, span=span, threads=threads) as video:
            clips = [
                MODALITIES.get(spec.modality).read(video, spec, span, views=views) for spec in self.specs
            ]
            first, end = start_of(video), video.duration_s
            remarks = (*remarks_on(video), *damage_of(video))
        start, stop = span or (first, float("inf"))
        last = max(float(clip.times.max()) for clip in clips[0])
        seen = (start, min(stop, end if end is not None else last))
        inputs = tuple(stack(each) for each in clips)
        notes = (*remarks, NOBODY) if _sees_nothing([x[None] for x in inputs], self.specs)[0] else remarks
        return _Read(inputs, shown(source), seen, notes)

    def _predictions(self, read: Sequence[_Read], views: Views) -> list[Prediction | Skipped]:
        if not read:
            return []
        inputs = [torch.stack([each.inputs[i] for each in read]) for i in range(len(self.specs))]
        rows = self.probabilities(inputs, views).cpu().double().numpy()
        count = inputs[0].shape[1]
        found: list[Prediction | Skipped] = []
        for row, each in zip(rows, read, strict=True):
            if problem := self._unsound(row, each.source):
                found.append(Skipped(each.source, problem))
            else:
                found.append(
                    Prediction(row, self.labels, each.source, each.span, count, each.notes, self.rejection)
                )
        return found


def _sees_nothing(inputs: Sequence[Tensor], specs: Sequence[ClipSpec]) -> np.ndarray:
    """bool `(B,)`: whether an input `(B, V, T, ...)` that may show nothing, such as poses, does so."""
    nothing = np.zeros(len(inputs[0]), bool)
    for x, spec in zip(inputs, specs, strict=True):
        if (tells := MODALITIES.get(spec.modality).sees_nothing) is not None:
            nothing |= tells(x).numpy()
    return nothing


def _batched(windows: Sequence[Sequence[Clip]]) -> Tensor:
    return torch.stack([stack(clips) for clips in windows])


def shown(source: Source) -> str:
    """A source as messages and records name it."""
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)

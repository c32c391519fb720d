"""Videos that are read once for several models, and what each says of the whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING

from torch import Tensor

from kinesphere.clips.clip import stack
from kinesphere.clips.modality import shows_nothing
from kinesphere.clips.spec import Views
from kinesphere.core.device import cpu_count
from kinesphere.core.skipped import Skipped
from kinesphere.data.sources import Source, shown
from kinesphere.predict.long_video import REFUSALS, Look, Refusal, SharedVideo, Span, Window
from kinesphere.predict.prediction import FRAMES_ALONE, NOBODY, Prediction

if TYPE_CHECKING:
    from kinesphere.predict.video_predictor import VideoPredictor

_READERS = 4


@dataclass(frozen=True, eq=False)
class Read:
    """V clips of one source, for each of a model's inputs."""

    inputs: tuple[Tensor, ...]
    source: str
    span: Span
    notes: tuple[str, ...]

    @classmethod
    def of(cls, window: Window, predictor: VideoPredictor, source: Source) -> Read:
        """What was read of a source by the contracts of a model."""
        start, stop = window.span
        end = window.videos[0].duration_s
        seen = window.span if end is None else (start, min(stop, end))
        inputs = tuple(stack(each) for each in window.clips)
        return cls(inputs, shown(source), seen, (*window.notes, *nobody_note(predictor, inputs)))


def read_together(
    source: Source,
    predictors: Sequence[VideoPredictor],
    views: Sequence[Views],
    *,
    span: Span | None = None,
    threads: int | None = None,
) -> list[Read | Refusal]:
    """A source, or a span of it, as each of several models sees it, decoded once; or why one cannot.

    Args:
        source: A path, a URL, or the file's bytes.
        predictors: The models.
        views: Clips and crops of each.
        span: `(start_s, end_s)`; None for the whole video.
        threads: Threads of the decoder.
    """
    looks = [look_of(each, own) for each, own in zip(predictors, views, strict=True)]
    with SharedVideo(source, looks, span=span, threads=threads) as video:
        windows: list[Window | None] = [None] * len(looks)
        if len(video.refused) < len(looks):
            (windows,) = video.read([span])
        return [
            video.refused[number] if window is None else Read.of(window, predictor, source)
            for number, (window, predictor) in enumerate(zip(windows, predictors, strict=True))
        ]


def predict_together(
    predictors: Sequence[VideoPredictor],
    sources: Iterator[Source],
    views: Sequence[Views],
    batch_size: int,
) -> Iterator[list[Prediction | Skipped]]:
    """What each of several models says of each of many videos, in their order.

    Videos are read ahead in threads, each once for all models, and run through the networks together.

    Args:
        predictors: The models.
        sources: Paths, URLs or bytes.
        views: Clips and crops of each model.
        batch_size: Videos at a time.
    """
    readers = min(_READERS, cpu_count())
    threads = max(1, cpu_count() // readers)

    def read(source: Source, members: Sequence[VideoPredictor]) -> list[Read | Refusal]:
        try:
            return read_together(source, members, views, threads=threads)
        except REFUSALS as error:
            return [error] * len(members)

    with ThreadPoolExecutor(readers) as pool:

        def begun(source: Source) -> _Begun:
            members = [each.for_source(source) for each in predictors]
            return _Begun(source, members, pool.submit(read, source, members))

        ahead = deque(map(begun, islice(sources, 2 * batch_size)))
        try:
            while ahead:
                batch = [ahead.popleft() for _ in range(min(batch_size, len(ahead)))]
                for each in batch:
                    each.read.result()
                ahead.extend(map(begun, islice(sources, len(batch))))
                answers = [
                    _answers(predictor, number, own, batch)
                    for number, (predictor, own) in enumerate(zip(predictors, views, strict=True))
                ]
                yield from map(list, zip(*answers, strict=True))
        finally:
            for each in ahead:
                each.read.cancel()


@dataclass(frozen=True, eq=False)
class _Begun:
    """A video that is being read for the models that answer about it."""

    source: Source
    members: list[VideoPredictor]
    read: Future[list[Read | Refusal]]


def _answers(
    predictor: VideoPredictor, number: int, views: Views, batch: Sequence[_Begun]
) -> Iterator[Prediction | Skipped]:
    """One model's answers to a batch of videos; those that one member answers go through it together."""
    for member, some in groupby(batch, lambda each: each.members[number]):
        found = [(each.source, each.read.result()[number]) for each in some]
        done = iter(member.answers_to([each for _, each in found if isinstance(each, Read)], views))
        for source, each in found:
            answer = next(done) if isinstance(each, Read) else Skipped(shown(source), str(each))
            yield answer if isinstance(answer, Skipped) else predictor.signed(answer, member, views)


def look_of(predictor: VideoPredictor, views: Views) -> Look:
    """What a model looks at in a video."""
    return Look(predictor.specs, views, predictor.opening)


def nobody_note(predictor: VideoPredictor, inputs: Sequence[Tensor]) -> tuple[str, ...]:
    """A note on one clip `(V, T, ...)` an input in which nobody is seen, as far as the inputs tell."""
    batch = [x[None] for x in inputs]
    if predictor.sees_nobody(batch)[0]:
        return (NOBODY,)
    return (FRAMES_ALONE,) if shows_nothing(batch, predictor.specs)[0] else ()

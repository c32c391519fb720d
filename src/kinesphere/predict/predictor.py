"""`Predictor`: a recogniser that takes videos."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute, cpu_count
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, VideoError
from kinesphere.core.labels import LabelSet
from kinesphere.models import Recogniser
from kinesphere.models.optimise import optimise_for_inference
from kinesphere.predict.long_video import window_clips
from kinesphere.predict.opening import Opening, Source
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.timeline import Timeline

_CLIPS_PER_PASS = {"cpu": 16}
_CLIPS_PER_PASS_GPU = 64
_READERS = 4


@dataclass(frozen=True)
class Refused:
    """A source that could not be predicted.

    Attributes:
        source: As the user named it.
        reason: The error's message.
    """

    source: str
    reason: str


@dataclass(frozen=True, eq=False)
class _Read:
    """V clips of one source, for each of the model's inputs."""

    inputs: tuple[Tensor, ...]
    source: str
    span: tuple[float, float]


class Predictor:
    """Applies a recogniser to videos through its own input contract.

    Args:
        recogniser: The model as it is now: it is moved to the device and into evaluation mode, and
            what it learns later does not reach the predictor.
        compute: Where and how it runs; by default the best for this machine.
        name: For reports; by default the architecture's.
        optimise: Run a copy with fused operators (`models.optimise`), equal up to rounding.
        opening: Where files of flow and poses lie, and whether they are kept.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        compute: Compute | None = None,
        *,
        name: str | None = None,
        optimise: bool = True,
        opening: Opening = Opening(),  # noqa: B008 (frozen)
    ) -> None:
        self.compute = compute or Compute.choose()
        self.module = recogniser.eval()
        self.compute.place(self.module)
        self.name = name or recogniser.card.name
        self.opening = opening
        self._net = optimise_for_inference(recogniser, self.compute) if optimise else recogniser.net

    @property
    def labels(self) -> LabelSet:
        """The K labels, in the order of the probabilities."""
        return self.module.labels

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        """The input contracts, one per input of the network."""
        return self.module.specs

    @property
    def spec(self) -> ClipSpec:
        """The input contract of a model with one input.

        Raises:
            InvalidSetting: If it has several; use `specs`.
        """
        if len(self.specs) != 1:
            raise InvalidSetting(f"{self.name} has {len(self.specs)} inputs; use specs.")
        return self.specs[0]

    def probabilities(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class probabilities of a batch of samples, averaged over their views.

        Args:
            inputs: One `(B, V, T, C, H, W)` per spec as the clips room makes them (rgb: uint8).

        Returns:
            float32 `(B, K)` on the compute device; rows sum to 1 for single-label sets.
        """
        samples, views = inputs[0].shape[:2]
        flat = [x.flatten(0, 1) for x in inputs]
        step = _CLIPS_PER_PASS.get(self.compute.device, _CLIPS_PER_PASS_GPU)
        passes = [self._forward([x[i : i + step] for x in flat]) for i in range(0, samples * views, step)]
        each: Tensor = torch.cat(passes).unflatten(0, (samples, views))
        return each.mean(1)

    def _forward(self, clips: list[Tensor]) -> Tensor:
        device = self.compute.device
        # In fp32 until autocast decides: rounding pixels first would cost accuracy for nothing.
        ready = [
            MODALITIES.get(spec.modality).normalise(x.to(device, non_blocking=True), spec, torch.float32)
            for x, spec in zip(clips, self.specs, strict=True)
        ]
        with torch.inference_mode(), self.compute.autocast():
            logits: Tensor = self._net(*ready).float()
        return logits.sigmoid() if self.labels.multi else logits.softmax(-1)

    def predict(
        self, source: Source, *, span: tuple[float, float] | None = None, views: Views | None = None
    ) -> Prediction:
        """What the model says of a video, or of a span of it.

        Args:
            source: A path, an address, or the file's bytes.
            span: `(start_s, end_s)`; None for the whole video.
            views: Clips and crops whose probabilities are averaged; None for one of each.

        Raises:
            VideoError: If it cannot be decoded.
            SpanOutsideVideo: If the span starts after its end.
        """
        return self._predictions([self._read(source, span, views or Views())])[0]

    def predict_many(
        self, sources: Iterable[Source], *, views: Views | None = None, batch_size: int = 8
    ) -> Iterator[Prediction | Refused]:
        """What the model says of each of many videos, in their order.

        Videos are read ahead in threads and run through the network together. One that cannot be read
        comes as `Refused`; the others go on.

        Args:
            sources: Paths, addresses or bytes.
            views: Clips and crops whose probabilities are averaged; None for one of each.
            batch_size: Videos at a time.

        Raises:
            InvalidSetting: If `batch_size` is not positive.
        """
        if batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one video; got batch_size={batch_size}.")
        return self._predict_many(iter(sources), views or Views(), batch_size)

    def _predict_many(
        self, sources: Iterator[Source], views: Views, batch_size: int
    ) -> Iterator[Prediction | Refused]:
        readers = min(_READERS, cpu_count())
        threads = max(1, cpu_count() // readers)

        def read(source: Source) -> _Read | Refused:
            try:
                return self._read(source, None, views, threads)
            except (VideoError, InvalidAnnotation, InvalidClip) as error:
                return Refused(shown(source), str(error))

        with ThreadPoolExecutor(readers) as pool:
            ahead: deque[Future[_Read | Refused]] = deque(
                pool.submit(read, source) for source in islice(sources, 2 * batch_size)
            )
            try:
                while ahead:
                    batch = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
                    ahead.extend(pool.submit(read, source) for source in islice(sources, len(batch)))
                    done = iter(self._predictions([each for each in batch if isinstance(each, _Read)]))
                    for each in batch:
                        yield each if isinstance(each, Refused) else next(done)
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
            views: Clips and crops per window, whose probabilities are averaged; None for one of each.
            batch_size: Windows at a time.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidSetting: If window, stride or batch size make no sense, or the source is live.
        """
        if batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one window; got batch_size={batch_size}.")
        windows = window_clips(source, self.specs, window_s, stride_s, views or Views(), self.opening)
        spans: list[tuple[float, float]] = []
        rows: list[np.ndarray] = []
        while batch := list(islice(windows, batch_size)):
            spans += [window.span for window in batch]
            inputs = [_batched([window.clips[i] for window in batch]) for i in range(len(self.specs))]
            rows.append(self.probabilities(inputs).cpu().double().numpy())
        return Timeline(np.concatenate(rows), np.array(spans), self.labels, shown(source))

    def _read(
        self, source: Source, span: tuple[float, float] | None, views: Views, threads: int | None = None
    ) -> _Read:
        with self.opening.open(source, self.specs, threads=threads) as video:
            clips = [
                MODALITIES.get(spec.modality).read(video, spec, span, views=views) for spec in self.specs
            ]
            end = video.duration_s
        start, stop = span or (0.0, float("inf"))
        last = max(float(clip.times.max()) for clip in clips[0])
        seen = (start, min(stop, end if end is not None else last))
        return _Read(tuple(stack(each) for each in clips), shown(source), seen)

    def _predictions(self, read: Sequence[_Read]) -> list[Prediction]:
        if not read:
            return []
        inputs = [torch.stack([each.inputs[i] for each in read]) for i in range(len(self.specs))]
        rows = self.probabilities(inputs).cpu().double().numpy()
        views = inputs[0].shape[1]
        return [
            Prediction(row, self.labels, each.source, each.span, views)
            for row, each in zip(rows, read, strict=True)
        ]


def _batched(windows: Sequence[Sequence[Clip]]) -> Tensor:
    return torch.stack([stack(clips) for clips in windows])


def shown(source: Source) -> str:
    """A source as messages and records name it."""
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def load(
    source: str | Path,
    *,
    compute: Compute | None = None,
    opening: Opening = Opening(),  # noqa: B008 (frozen)
) -> Predictor:
    """A predictor from a run folder, a model file, a registered `model.tag`, or a Hugging Face id.

    Args:
        source: For example `"runs/first"`, `"model.safetensors"`, `"r3d_18.k400"`.
        compute: Where and how it runs; by default the best for this machine.
        opening: Where files of flow and poses lie, and whether they are kept.

    Raises:
        InvalidCheckpoint: If the file is damaged or foreign.
        MissingWeights: If nothing is there, or a download is not possible.
        UnknownName: If there is no such model.
    """
    from kinesphere.models.checkpoint import load_model

    return Predictor(load_model(source), compute, name=str(source), opening=opening)

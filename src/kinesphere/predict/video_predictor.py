"""`VideoPredictor`: from videos to predictions, whatever computes the probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.modality import MODALITIES, shows_nothing
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, NotFinite
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.data.sources import Opening, Source
from kinesphere.models.provenance import Provenance
from kinesphere.models.rejection import Rejection
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.scorers import ClipScorer, Mode, Scorer
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.together import Read, predict_together, read_together
from kinesphere.predict.windowed import Advance, Windows, quietly, timelines

A = TypeVar("A", Prediction, Timeline)


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

    def with_joints(self) -> VideoPredictor:
        """What answers where the joints of people are known: this, unless that depends on it."""
        return self

    @property
    def test_views(self) -> Views:
        """Clips and crops that the models' own tests averaged; one of each where that is not known.

        Of fused models that were tested with different views it is the most of them.
        """
        known = [Views.parse(each.test_views) for each in self.provenances if each.test_views is not None]
        return max(known, key=lambda views: views.clips * views.crops, default=Views())

    def threads(self, clips: float) -> int | None:
        """How many threads of the CPU compute so many clips; None where unknown or on another device."""
        return None

    @abstractmethod
    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        """Class probabilities of a batch of samples, pooled over their views as these say.

        Probabilities of mirror images among the views count for the mirrored labels.

        Args:
            inputs: One `(B, V, T, C, H, W)` per spec as `clips` makes them (rgb: uint8).
            views: How the V views were taken.

        Returns:
            float32 `(B, K)` on the compute device; rows sum to 1 for single-label sets.
        """

    @property
    def may_see_nobody(self) -> bool:
        """Whether its answer may mean nothing, since all that it sees, such as joints, may show nobody."""
        return all(MODALITIES.get(spec.modality).sees_nothing for spec in self.specs)

    def sees_nobody(self, inputs: Sequence[Tensor]) -> np.ndarray:
        """bool `(B,)`: samples whose answer means nothing, since nobody is seen in them.

        Where there are frames as well, the answer rests on these.

        Args:
            inputs: See `probabilities`.
        """
        if not self.may_see_nobody:
            return np.zeros(len(inputs[0]), bool)
        return shows_nothing(inputs, self.specs)

    def answers(self, inputs: Sequence[Tensor], views: Views, named: Sequence[str]) -> np.ndarray:
        """The probabilities as float64 `(B, K)`, all of them numbers.

        Args:
            inputs: See `probabilities`.
            views: How the views were taken.
            named: What each sample is called in messages.

        Raises:
            NotFinite: If something in them is not a finite number.
        """
        return self.checked(self.probabilities(inputs, views).cpu().double().numpy(), named)

    def checked(self, rows: np.ndarray, named: Sequence[str]) -> np.ndarray:
        """Probabilities `(B, K)` as they are, if all of them are numbers.

        Args:
            rows: The probabilities.
            named: What each sample is called in messages.

        Raises:
            NotFinite: If something in them is not a finite number.
        """
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
        member = self.for_source(source)
        check_views(views, member.labels)
        (read,) = read_together(source, [member], [views], span=span)
        if not isinstance(read, Read):
            raise read
        (answer,) = member.answers_to([read], views)
        if isinstance(answer, Skipped):
            raise NotFinite(answer.reason)
        return self.signed(answer, member, views)

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
        together = predict_together([self], iter(sources), [views], batch_size)
        return (answer for (answer,) in together)

    def timeline(
        self,
        source: Source,
        *,
        window_s: float,
        stride_s: float,
        views: Views | None = None,
        batch_size: int | None = None,
        mode: Mode = "windows",
        advance: Advance = quietly,
        keep: Path | None = None,
    ) -> Timeline:
        """What the model says of every window of a video, however long.

        Each frame is decoded once, though windows overlap, and no more than a few windows are in memory. A
        frame-wise network (`models.runtime.framewise`) computes what it sees of a frame once for all windows
        whose clips hold that frame.

        Args:
            source: A path, or the file's bytes.
            window_s: Length of a window in seconds; a shorter video is one window.
            stride_s: Seconds between the starts of windows; the last window ends with the video.
            views: Clips and crops per window, whose probabilities are averaged; None for those of the
                model's own test.
            batch_size: Windows at a time; None for what suits the device.
            mode: `"windows"`, each by itself; or `"streaming"`, a streaming network's state carried through
                the whole video, which answers otherwise (see `windowed.Windows`).
            advance: Called with the number of windows done, and of all.
            keep: The file that the answer goes into: what is done is kept beside it until all is, so that a
                run that is stopped goes on from there and gives the same timeline.

        Raises:
            VideoError: If the video cannot be decoded.
            NotFinite: If the model's answer to a window is not a number.
            InvalidSetting: If window, stride or batch size make no sense, the network cannot stream, or the
                source is live.
        """
        cut = Windows(window_s, stride_s, batch_size, mode)
        (answer,) = timelines([self], source, cut, [views], advance, keep)
        if not isinstance(answer, Timeline):
            raise answer
        return answer

    def scorer(self, views: Views, mode: Mode = "windows", window_s: float = 1.0) -> Scorer:
        """What computes the windows of one video, in order of time.

        Args:
            views: Clips and crops of each window.
            mode: See `windowed.Windows`.
            window_s: Length of the windows in seconds.

        Raises:
            InvalidSetting: If it cannot stream.
        """
        if mode == "streaming":
            raise InvalidSetting(
                f"{self.name} cannot stream, being of several models; name one model, or leave the streaming "
                "mode."
            )
        return ClipScorer(self, views)

    def windows_at_once(self, views: Views, mode: Mode = "windows") -> int:
        """How many windows of a long video are computed together, by what the device takes at a time.

        Those of a stream give it their frames, which go through the network in steps of a length of its own:
        the fewer windows, the shorter the last step of them.
        """
        return 1

    def signed(self, answer: A, member: VideoPredictor, views: Views) -> A:
        """An answer of `member`, which `for_source` gave, as this one's."""
        return answer

    def answers_to(self, read: Sequence[Read], views: Views) -> list[Prediction | Skipped]:
        """What the model says of what was read of some videos; why not, where that is no number."""
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

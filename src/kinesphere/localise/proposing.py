"""Detectors in two steps: proposals of where any action is, times what class it is.

Networks of proposals see a window of T rows. Recordings are gone through in windows that overlap by half, in
training and in tests, as is done for THUMOS14; actions that are longer than a window are not found whole.

C numbers of a row, T rows of a window, N actions, M proposals, K classes. Segments are `(start, end)` in rows
from the first edge on: row g reaches from g to g + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.annotations.timed import PROPOSAL, Detection
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.boundaries import softened
from kinesphere.localise.decoding import Decoding, detections
from kinesphere.localise.detector_file import DetectorFile, whole
from kinesphere.localise.recordings import Recording
from kinesphere.localise.rows import RowClassifier, fit_rows
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.sight import Sight, moments
from kinesphere.localise.suppression import Suppression, suppressed
from kinesphere.predict.features import VideoFeatures

CLASSES_EACH = 2
"""A proposal becomes detections of so many classes, its most probable ones."""
_LEAST_INSIDE = 0.5
"""Of an action that a window holds less of, nothing is said."""
_SHAPES = {"mean": ("C",), "std": ("C",), "rows": ("K + 1", "C + 1")}


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a recording.

    Attributes:
        rows: `(C, T)`, zero beyond the recording's end.
        truth: `(N, 2)` the actions in it, as fractions of the window.
        first: Its first row.
    """

    rows: Tensor
    truth: np.ndarray
    first: int = 0


class Proposer(Protocol):
    """A network of proposals, how it is trained, and how its answers become proposals."""

    @property
    def net(self) -> nn.Module:
        """The network."""

    @property
    def length(self) -> int:
        """T."""

    @property
    def softening(self) -> tuple[float, float, float]:
        """Alpha, low and high of `boundaries.softened`, for proposals."""

    def fit(
        self,
        windows: Sequence[Window],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """Train the network; see `Detector.fit`."""

    def propose(self, rows_CT: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Proposals `(M, 2)` in a window, as fractions of it, and their scores `(M,)`."""


Build = Callable[[int, dict[str, Any]], Proposer]
"""Makes a proposer for C and arguments that rebuild it."""


class ProposalDetector:
    """A network of proposals with a classifier of rows that names what is in them.

    Args:
        name: In `METHODS`.
        proposer: The network.
        arguments: That rebuild it, beside features.
        labels: Classes.
        sight: The features that it sees.
        decoding: How answers become detections.
        mean, std: `(C,)` of the features that it was trained on.
        rows: `(K + 1, C + 1)`: weights and bias of background and classes, of single rows.
    """

    def __init__(
        self,
        name: str,
        proposer: Proposer,
        arguments: dict[str, Any],
        labels: LabelSet,
        sight: Sight,
        decoding: Decoding,
        mean: Tensor,
        std: Tensor,
        rows: Tensor,
    ) -> None:
        self.name, self.proposer, self.arguments = name, proposer, arguments
        self.labels, self.sight, self.decoding = labels, sight, decoding
        self.mean, self.std, self.rows = mean, std, rows

    @classmethod
    def fresh(
        cls,
        name: str,
        build: Build,
        arguments: dict[str, Any],
        recipe: LocaliseRecipe,
        recordings: Sequence[Recording],
        labels: LabelSet,
    ) -> ProposalDetector:
        """A detector with fresh weights; see `Method.fresh`."""
        sight = Sight.of(recordings[0].features)
        mean, std = moments([each.features for each in recordings])
        return cls(
            name, build(sight.width, arguments), arguments, labels, sight, recipe.decode.rule(), mean, std,
            torch.zeros(len(labels) + 1, sight.width + 1),
        )  # fmt: skip

    def fit(
        self,
        recordings: Sequence[Recording],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """Train the classifier of rows, then the network on windows; see `Detector.fit`."""
        rows = fit_rows(recordings, self.labels.names)
        self.rows = torch.cat((rows.weight, rows.bias[:, None]), 1)
        windows = [each for own in recordings for each in self._windows(own)]
        self.proposer.fit(windows, recipe, state, progress)

    @torch.inference_mode()
    def candidates(self, features: VideoFeatures) -> tuple[np.ndarray, np.ndarray]:
        """All proposals of a video `(M, 2)` in rows, and their scores `(M,)`, the best first."""
        T, rows_CT = self.proposer.length, self._normalised(features)
        segments, scores = [np.zeros((0, 2))], [np.zeros(0)]
        self.proposer.net.eval()
        for first in first_rows(len(features), T):
            found, each = self.proposer.propose(part_of(rows_CT, first, T))
            inside = first + found[:, 0] * T < len(features)
            segments.append((first + found[inside] * T).clip(max=len(features)))
            scores.append(each[inside])
        together, scores_M = np.concatenate(segments), np.concatenate(scores)
        best = np.argsort(-scores_M, kind="stable")[: self.decoding.most]
        return together[best], scores_M[best]

    def class_scores(self, features: VideoFeatures, segments_M2: np.ndarray) -> np.ndarray:
        """How probable each class is in each proposal `(M, K)`: the mean of the rows that it holds."""
        names = self.labels.names
        classifier = RowClassifier(self.rows[:, :-1], self.rows[:, -1], self.mean, self.std, names)
        sums = np.concatenate(
            (np.zeros((1, len(names))), classifier.probabilities(features.values).cumsum(0))
        )
        first = np.floor(segments_M2[:, 0]).astype(np.int64).clip(0, len(features) - 1)
        end = np.maximum(np.ceil(segments_M2[:, 1]).astype(np.int64), first + 1).clip(max=len(features))
        means: np.ndarray = (sums[end] - sums[first]) / (end - first)[:, None]
        return means

    def propose(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """Where any action is, the surest first; of what overlaps much, one.

        Raises:
            InvalidSetting: If the features are others than it sees.
        """
        self.sight.check(features, video or "the video")
        segments, scores = self.candidates(features)
        T = self.proposer.length
        kept, scores = softened(
            segments / T, scores, self.decoding.suppression.most, *self.proposer.softening
        )
        labels = np.zeros(len(scores), np.int64)
        return detections(features, kept * T - 0.5, scores, labels, (PROPOSAL,), video)

    def detect(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """What happens in a video when, the surest first; see `Detector.detect`."""
        self.sight.check(features, video or "the video")
        segments, scores = self.candidates(features)
        named = classified(segments, scores, self.class_scores(features, segments))
        kept = suppressed(*named, self.decoding.suppression)
        return detections(features, kept[0] - 0.5, *kept[1:], names=self.labels.names, video=video)

    def save(self, path: Path) -> Path:
        """Write the detector to a `.safetensors`; the file appears whole or not at all."""
        own = {"suppression": vars(self.decoding.suppression)}
        file = DetectorFile.of(
            self.name, self.arguments, self.labels, self.sight, own, self.proposer.net,
            mean=self.mean, std=self.std, rows=self.rows,
        )  # fmt: skip
        return file.write(path)

    @classmethod
    def load(cls, build: Build, path: Path) -> ProposalDetector:
        """Read one.

        Raises:
            InvalidCheckpoint: If the file is damaged or contradicts itself.
        """
        file = DetectorFile.read(path, _SHAPES)
        with whole(path):
            proposer = build(file.sight.width, file.arguments)
            proposer.net.load_state_dict(file.net)
            proposer.net.eval()
            decoding = Decoding(suppression=Suppression(**file.own["suppression"]))
        return cls(
            file.architecture, proposer, file.arguments, file.labels, file.sight, decoding, **file.tensors
        )

    def _normalised(self, features: VideoFeatures) -> Tensor:
        return ((torch.from_numpy(features.values.copy()) - self.mean) / self.std).T

    def _windows(self, own: Recording) -> list[Window]:
        T, rows_CT = self.proposer.length, self._normalised(own.features)
        segments = own.truth(self.labels.names).segments.double().numpy() + 0.5
        found = []
        for first in first_rows(len(own.features), T):
            inside = segments.clip(first, first + T)
            length = segments[:, 1] - segments[:, 0]
            kept = inside[(inside[:, 1] - inside[:, 0]) >= _LEAST_INSIDE * length]
            found.append(Window(part_of(rows_CT, first, T), (kept - first) / T, first))
        return found


def first_rows(rows: int, T: int) -> list[int]:
    """First rows of windows that overlap by half; the last ends with the recording."""
    last = max(0, rows - T)
    return sorted({*range(0, last, max(1, T // 2)), last})


def part_of(rows_CN: Tensor, first: int, T: int) -> Tensor:
    """T rows, zero beyond the end."""
    part = rows_CN[:, first : first + T]
    return F.pad(part, (0, T - part.shape[1]))


def classified(
    segments_M2: np.ndarray, scores_M: np.ndarray, class_scores_MK: np.ndarray, most: int = CLASSES_EACH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Proposals times what class they are: segments, scores and classes of M · `most` detections.

    Whatever gives the class scores: a classifier of what is in each proposal, or of the whole video, whose
    scores are then the same for all of its proposals.

    Args:
        segments_M2: Proposals.
        scores_M: Of each.
        class_scores_MK: Of each class in each; `(1, K)` for those of a video.
        most: Classes of a proposal.
    """
    scores_MK = np.broadcast_to(class_scores_MK, (len(scores_M), class_scores_MK.shape[1]))
    best = np.argsort(-scores_MK, axis=1, kind="stable")[:, :most]
    scores = scores_M[:, None] * np.take_along_axis(scores_MK, best, 1)
    return np.repeat(segments_M2, best.shape[1], 0), scores.ravel(), best.ravel()


def checked_arguments(name: str, given: dict[str, Any], known: Mapping[str, tuple[float, float]]) -> None:
    """Refuse arguments of a network that it does not take, or that are beyond reason.

    Args:
        name: Of the network.
        given: What was asked for.
        known: Smallest and largest value of each.

    Raises:
        InvalidSetting: If so.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidSetting(f"{name} has no argument {unknown[0]!r}; it takes {', '.join(known)}.")
    for key, value in given.items():
        low, high = known[key]
        if not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidSetting(f"The {key} of {name} is from {low:g} to {high:g}; got {value!r}.")

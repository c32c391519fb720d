"""Structured segment networks on features: proposals by rows that look like action, judged by their stages.

Of `model` in a recipe, `width` and `levels` mean nothing; `arguments` are `dropout`, `halves` (whether the
course is looked at by its halves, too) and `joint`. In training sliding windows are proposals, too: a good
classifier of rows proposes no background. Detections are suppressed after their ends were regressed, by the
recipe's `decode` and the scores of the paper; those that leave the detector are in [0, 1)
(`localise.segment_scores`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.decoding import Decoding, detections
from kinesphere.localise.detector_file import DetectorFile, whole
from kinesphere.localise.end_to_end import fit_clips
from kinesphere.localise.methods.registry import METHODS, Method
from kinesphere.localise.proposal_fates import REASONS, Fate, ProposalFate
from kinesphere.localise.proposals import Grouping, Proposals, grouped, sliding, smoothing
from kinesphere.localise.recordings import Recording
from kinesphere.localise.rows import RowClassifier, fit_rows
from kinesphere.localise.segment_scores import bounded, decoded, unbounded, unbounded_rule
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.sight import Sight, moments
from kinesphere.localise.snippets import Draws, placed
from kinesphere.localise.structured import (
    COUNTS,
    PoolRule,
    pools_of,
    regressed,
    segment_loss,
    target_moments,
)
from kinesphere.localise.suppression import Suppression, survivors, tiou
from kinesphere.localise.training import NetworkTask, fit_task
from kinesphere.models import Recogniser
from kinesphere.models.temporal.ssn import SSN, RowScores, Stages
from kinesphere.predict.features import FeatureExtractor, VideoFeatures

NAME = "ssn"
_ACTION = "action"
_RULE = PoolRule(coverage=0.0)
"""Recordings differ in length, and a second of background is some in each."""
_SHAPES = {"mean": ("C",), "std": ("C",), "actionness": (2, "C + 1"), "targets": (2, 2)}
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Judged:
    """Labels of proposals, the surest N first.

    Attributes:
        segments: `(N, 2)` in rows, after regression.
        scores: `(N,)`, those of the paper.
        labels: `(N,)`.
        proposal: `(N,)` which proposal each is of.
        all_scores: `(M, K)` of all proposals and labels, those of the paper.
    """

    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    proposal: np.ndarray
    all_scores: np.ndarray


class SegmentDetector:
    """A structured segment network with the classifier of rows that proposes.

    Args:
        net: The network.
        arguments: That rebuild it, beside features and classes.
        labels: Its classes.
        sight: The features that it sees.
        mean, std: `(C,)` of the features that it was trained on.
        decoding: How its answers become detections.
        actionness: `(2, C + 1)`: weights and bias of background and action.
        targets: `(2, 2)`: mean and deviation of what was regressed.
    """

    name = NAME

    def __init__(
        self,
        net: SSN,
        arguments: dict[str, Any],
        labels: LabelSet,
        sight: Sight,
        mean: Tensor,
        std: Tensor,
        decoding: Decoding,
        actionness: Tensor,
        targets: Tensor,
    ) -> None:
        self.net, self.arguments, self.labels, self.sight = net, arguments, labels, sight
        self.mean, self.std, self.decoding = mean, std, decoding
        self.actionness, self.targets = actionness, targets

    def proposals(self, features: VideoFeatures) -> Proposals:
        """Stretches of rows that look like action, and those that were left out for better ones."""
        weight, bias = self.actionness[:, :-1], self.actionness[:, -1]
        rows = RowClassifier(weight, bias, self.mean, self.std, (_ACTION,))
        rule = Grouping(sigma=smoothing(features.window_s, features.stride_s))
        return grouped(rows.probabilities(features.values)[:, 0], rule)

    def fit(
        self,
        recordings: Sequence[Recording],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """Train the classifier of rows, then the network on its proposals; see `Detector.fit`.

        Videos without an action take part in the first only.

        Raises:
            InvalidAnnotation: If no video has an action, or none has proposals of a kind that is shown.
        """
        self._look_for_action(recordings)
        acting, draws = self._shown(recordings, recipe)
        values = [self._rows(own.features) for own in acting]
        fit_task(SegmentTask(self.net, values, draws, recipe), recipe, state, progress)

    def fit_through(
        self,
        recordings: Sequence[Recording],
        extractor: FeatureExtractor,
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> Recogniser:
        """Train the network together with the recogniser; see `LearnsThrough.fit_through`.

        Proposals are those that features by the recogniser at the start make.

        Raises:
            InvalidAnnotation: As by `fit`.
        """
        self._look_for_action(recordings)
        acting, draws = self._shown(recordings, recipe)
        paths = [own.path for own in acting]
        moments = self.mean, self.std
        return fit_clips(self.net, moments, draws, paths, extractor, recipe, state, progress)

    def see_anew(self, recordings: Sequence[Recording]) -> None:
        """See `LearnsThrough.see_anew`."""
        self.sight = Sight.of(recordings[0].features)
        self._look_for_action(recordings)

    def _look_for_action(self, recordings: Sequence[Recording]) -> None:
        """Fit the classifier of rows."""
        plain = [
            replace(own, labels=tuple(replace(each, label=_ACTION) for each in own.labels))
            for own in recordings
        ]
        rows = fit_rows(plain, (_ACTION,)).normalised_by(self.mean, self.std)
        self.actionness = torch.cat((rows.weight, rows.bias[:, None]), 1)

    def _shown(
        self, recordings: Sequence[Recording], recipe: LocaliseRecipe
    ) -> tuple[list[Recording], Draws]:
        """The recordings with an action, and which of their proposals are shown when."""
        acting = [(own, own.truth(self.labels.names)) for own in recordings]
        acting = [(own, truth) for own, truth in acting if len(truth.labels)]
        if not acting:
            raise InvalidAnnotation("No video to train on has an action that lasts.")
        videos = [
            pools_of(
                np.concatenate((self.proposals(own.features).stretches, _windows(own.features))),
                truth.segments.double().numpy() + 0.5,  # a row reaches half a step to both sides
                truth.labels.numpy(),
                len(own.features),
                _RULE,
            )
            for own, truth in acting
        ]
        self.targets = torch.from_numpy(np.stack(target_moments(videos))).float()
        found = [own for own, _ in acting]
        lengths = [len(own.features) for own in found]
        return found, Draws(videos, lengths, self.targets, self.net.snippets, recipe.train)

    def _rows(self, features: VideoFeatures) -> Tensor:
        return (torch.from_numpy(features.values.copy()) - self.mean) / self.std

    @torch.inference_mode()
    def detect(self, features: VideoFeatures, video: str = "") -> list[Detection]:
        """What happens in a video when, the surest first; see `Detector.detect`."""
        self.sight.check(features, video or "the video")
        judged = self._judged(features, self.proposals(features))
        if judged is None:
            return []
        kept = decoded(judged.segments - 0.5, judged.scores, judged.labels, self.decoding.suppression)
        return detections(features, *kept, names=self.labels.names, video=video)

    @torch.inference_mode()
    def fates(self, features: VideoFeatures, video: str) -> list[ProposalFate]:
        """What becomes of each proposal in a video; see `Proposing.fates`."""
        self.sight.check(features, video or "the video")
        found = self.proposals(features)
        judged = self._judged(features, found)
        told = [] if judged is None else self._told(features, found, judged, video)
        for (first, end), actionness, better in zip(found.dropped, found.lost, found.better, strict=True):
            ends = _seconds(features, np.array([(first, end), found.stretches[better]], np.float64))
            told.append(
                ProposalFate(
                    video, *ends[0], float(actionness), "overlapped", REASONS["overlapped"],
                    better_start_s=ends[1][0], better_end_s=ends[1][1],
                )
            )  # fmt: skip
        return told

    def _told(
        self, features: VideoFeatures, found: Proposals, judged: Judged, video: str
    ) -> list[ProposalFate]:
        """What becomes of the proposals that are judged."""
        rule = unbounded_rule(self.decoding.suppression)
        left, _ = survivors(judged.segments - 0.5, judged.scores, judged.labels, rule)
        detected = dict(zip(judged.proposal[left[::-1]].tolist(), left[::-1].tolist(), strict=True))
        first = {p: i for i, p in reversed(list(enumerate(judged.proposal.tolist())))}
        told, scores_MK = [], bounded(judged.all_scores)
        for i, (stretch, actionness) in enumerate(zip(found.stretches, found.scores, strict=True)):
            fate: Fate = "surpassed"
            better: int | None = None
            label = int(judged.all_scores[i].argmax())
            if i in detected:
                label, fate = int(judged.labels[detected[i]]), "detected"
            elif i in first:
                label = int(judged.labels[first[i]])
                fate, better = _dropped_for(judged, left, first[i], rule)
            ends = _seconds(features, stretch[None].astype(np.float64))[0]
            more: tuple[float | None, float | None] = (None, None)
            if better is not None:
                more = _seconds(features, judged.segments[better : better + 1])[0]
            told.append(
                ProposalFate(
                    video, *ends, float(actionness), fate, REASONS[fate], self.labels.names[label],
                    float(scores_MK[i, label]), *more,
                )
            )  # fmt: skip
        return told

    def _judged(self, features: VideoFeatures, found: Proposals) -> Judged | None:
        """The surest labels of proposals, whose ends are regressed; None without any."""
        segments = found.stretches.astype(np.float64)
        if not len(segments):
            return None
        scores_PK, offsets = self._said(features, segments)
        best = np.argsort(-scores_PK, axis=None, kind="stable")[: self.decoding.most]
        proposal, label = np.unravel_index(best, scores_PK.shape)
        moved = regressed(segments[proposal], offsets[proposal, label], float(len(features)))
        return Judged(moved, scores_PK[proposal, label], label, proposal, scores_PK)

    def _said(self, features: VideoFeatures, segments_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the paper `(P, K)` and offsets `(P, K, 2)` of proposals in rows."""
        rows, products = self._rows(features), RowScores(self.net.eval())
        verdicts = products.pooled(products.scores(rows), placed(segments_P2, len(rows)))
        offsets = verdicts.regression * self.targets[1] + self.targets[0]
        return unbounded(verdicts), offsets.double().numpy()

    def proposed(self, features: VideoFeatures) -> tuple[np.ndarray, np.ndarray]:
        """See `fusion.Judges.proposed`."""
        found = self.proposals(features)
        return features.to_s(found.stretches - 0.5), found.scores

    @torch.inference_mode()
    def judge(self, features: VideoFeatures, seconds_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `fusion.Judges.judge`."""
        return self._said(features, (features.to_grid(seconds_P2) + 0.5).clip(0.0, float(len(features))))

    def save(self, path: Path) -> Path:
        """Write the detector to a `.safetensors`; the file appears whole or not at all."""
        own = {"suppression": vars(self.decoding.suppression)}
        tensors = {name: getattr(self, name) for name in _SHAPES}
        file = DetectorFile.of(NAME, self.arguments, self.labels, self.sight, own, self.net, **tensors)
        return file.write(path)

    @classmethod
    def load(cls, path: Path) -> SegmentDetector:
        """Read one.

        Raises:
            InvalidCheckpoint: If the file is damaged or contradicts itself.
        """
        file = DetectorFile.read(path, _SHAPES)
        with whole(path):
            net = build(file.sight.width, len(file.labels), file.arguments)
            net.load_state_dict(file.net)
            decoding = Decoding(suppression=Suppression(**file.own["suppression"]))
        return cls(net.eval(), file.arguments, file.labels, file.sight, decoding=decoding, **file.tensors)


class SegmentTask(NetworkTask[SSN]):
    """Proposals of a few videos at a time, by snippets of features that are there."""

    def __init__(self, net: SSN, rows: Sequence[Tensor], draws: Draws, recipe: LocaliseRecipe) -> None:
        super().__init__(net, recipe, draws.steps)
        self._rows, self._draws = rows, draws

    def batches(self, epoch: int) -> Iterator[Batch]:
        """See `NetworkTask.batches`."""
        for shown in self._draws.of(epoch):
            pairs = zip(shown.video.tolist(), shown.rows, strict=True)
            snippets = torch.stack([self._rows[video][rows] for video, rows in pairs])
            yield snippets, shown.scale, shown.labels, shown.targets

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        snippets, scales, labels, targets = batch
        return segment_loss(self.net(snippets, scales), labels, targets, COUNTS).total


def _dropped_for(judged: Judged, left: np.ndarray, mine: int, rule: Suppression) -> tuple[Fate, int | None]:
    """Why a label of a proposal is no detection, and which one it was dropped for, if it was for one."""
    if judged.scores[mine] < rule.least_score:
        return "too_low", None
    others = left[judged.labels[left] == judged.labels[mine]] if rule.per_class else left
    overlap = tiou(judged.segments[mine : mine + 1], judged.segments[others])[0]
    if not len(others) or overlap.max() <= 0:
        return "surpassed", None
    return "suppressed", int(others[overlap.argmax()])


def _seconds(features: VideoFeatures, rows_N2: np.ndarray) -> list[tuple[float, float]]:
    """Stretches `[first, end)` of rows in seconds, cut to the video."""
    seconds = np.clip(features.to_s(rows_N2 - 0.5), 0.0, features.duration_s)
    return [(float(start), float(end)) for start, end in seconds]


def _windows(features: VideoFeatures) -> np.ndarray:
    """Sliding windows in rows, half a step to both sides of each being its own."""
    rows = np.clip(features.to_grid(sliding(features.duration_s)) + 0.5, 0.0, float(len(features)))
    found: np.ndarray = rows[rows[:, 1] - rows[:, 0] >= 1]
    return found


def build(features: int, classes: int, arguments: dict[str, Any]) -> SSN:
    """A network.

    Raises:
        InvalidSetting: If it has no such argument, or a value is wrong.
    """
    known = {"dropout": 0.8, "halves": False, "joint": False}
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise InvalidSetting(f"{NAME} has no argument {unknown[0]!r}; it takes {', '.join(known)}.")
    given = known | arguments
    if not 0 <= float(given["dropout"]) < 1:
        raise InvalidSetting(f"The dropout of {NAME} is at least 0 and below 1; got {given['dropout']}.")
    stages = Stages(course=(1, 2)) if given["halves"] else Stages()
    return SSN(features, classes, stages, dropout=float(given["dropout"]), joint=bool(given["joint"]))


def fresh(recipe: LocaliseRecipe, recordings: Sequence[Recording], labels: LabelSet) -> SegmentDetector:
    """A detector with fresh weights; see `Method.fresh`."""
    sight = Sight.of(recordings[0].features)
    arguments = dict(recipe.model.arguments)
    mean, std = moments([each.features for each in recordings])
    return SegmentDetector(
        build(sight.width, len(labels), arguments),
        arguments,
        labels,
        sight,
        mean,
        std,
        recipe.decode.rule(),
        torch.zeros(2, sight.width + 1),
        torch.tensor([[0.0, 0.0], [1.0, 1.0]]),
    )


METHODS.add(NAME, Method(fresh, SegmentDetector.load, learns_through=True))

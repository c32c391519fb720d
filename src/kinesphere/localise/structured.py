"""Training of structured segment networks: which proposals are shown, what they should say, and the losses.

Zhao et al. 2017 (see `kinesphere.models.temporal.ssn`), section 4; numbers are those of the authors' code.

M proposals of a video, V videos, K classes. Segments are `(start, end)` in rows of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.localise.proposals import greedy
from kinesphere.localise.suppression import tiou
from kinesphere.models.temporal.ssn import Verdicts

COUNTS = (1, 6, 1)
"""Foreground, incomplete and background proposals that are drawn of a video, in this order."""
HARDEST = 0.17
"""Fraction of a video's incomplete proposals that counts in the loss: those that are worst."""
_LACKING = (
    (
        "No recording to train on shows a whole action; annotate actions in data.labels, of classes that "
        "data.classes names."
    ),
    (
        "No recording to train on goes on before or after an action, so ssn cannot learn what a part of one "
        "is. Give data.videos longer recordings, which are not cut to the action, or make rows shorter than "
        "the actions by a smaller features.stride_s."
    ),
    (
        "No recording to train on has a pause of more than a second, and of more than a row, so ssn cannot "
        "learn what background is. Add recordings with pauses to data.videos; where labels such as 'rest' "
        "fill the pauses, name the other classes alone in data.classes; make rows shorter by a smaller "
        "features.stride_s; or train a detector that needs no pauses, such as model.name=temporalmaxer."
    ),
)
"""What to do where a pool is empty in all videos, by pool."""
_COMPLETENESS, _REGRESSION = 0.1, 0.1
_SMOOTH = 2.0


@dataclass(frozen=True)
class PoolRule:
    """Which proposals are foreground, incomplete or background; the defaults are those for THUMOS14.

    Attributes:
        foreground: They overlap an action by more than this tIoU.
        incomplete: They overlap by less than this, and lie in the action by more than `within`.
        within: Smallest fraction of an incomplete proposal that lies in the action; 0.7 for ActivityNet.
        background: They overlap by less than this, and are not incomplete.
        coverage: Smallest fraction of the video that a background proposal covers.
    """

    foreground: float = 0.7
    incomplete: float = 0.3
    within: float = 0.01
    background: float = 0.01
    coverage: float = 0.02


@dataclass(frozen=True, eq=False)
class Pools:
    """The proposals of one video by what they are for.

    Attributes:
        segments: `(M, 2)`, proposals first, then the actions themselves.
        labels: `(M,)` int64: class of the action that each overlaps most; -1 for none.
        overlaps: `(M,)`: tIoU with it.
        targets: `(M, 2)`: shift of the middle to it in lengths, logarithm of the change of length.
        proposals: How many are no actions themselves.
        foreground, incomplete, background: Indices of the pools.
        aside: Indices of those that are in no pool.
    """

    segments: np.ndarray
    labels: np.ndarray
    overlaps: np.ndarray
    targets: np.ndarray
    proposals: int
    foreground: np.ndarray
    incomplete: np.ndarray
    background: np.ndarray
    aside: np.ndarray

    @property
    def all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three pools in the order in which they are drawn."""
        return self.foreground, self.incomplete, self.background


def pools_of(
    segments_M2: np.ndarray,
    truth_N2: np.ndarray,
    labels_N: np.ndarray,
    rows: int,
    rule: PoolRule | None = None,
) -> Pools:
    """Divide a video's proposals.

    Args:
        segments_M2: Proposals.
        truth_N2: Actions, one or more.
        labels_N: Their classes.
        rows: Length of the video.
        rule: Limits.

    Raises:
        InvalidAnnotation: If there is no action.
    """
    if not len(truth_N2):
        raise InvalidAnnotation("A video without an action has no foreground to train on; leave it out.")
    rule = rule or PoolRule()
    segments = np.concatenate((segments_M2, truth_N2)).astype(np.float64)
    overlap_MN = tiou(segments, truth_N2)
    best = overlap_MN.argmax(1)
    best[len(segments_M2) :] = np.arange(len(truth_N2))
    overlaps, wanted = overlap_MN[np.arange(len(segments)), best], truth_N2[best]
    length = segments[:, 1] - segments[:, 0]
    shared = np.minimum(segments[:, 1], wanted[:, 1]) - np.maximum(segments[:, 0], wanted[:, 0])
    inside = np.clip(shared, 0, None) / np.maximum(length, 1e-9)
    is_truth = np.arange(len(segments)) >= len(segments_M2)
    foreground = is_truth | (overlaps > rule.foreground)
    incomplete = ~foreground & (overlaps < rule.incomplete) & (inside > rule.within)
    background = ~foreground & ~incomplete & (overlaps < rule.background)
    background &= length > rule.coverage * rows
    aside = ~(foreground | incomplete | background)
    return Pools(
        segments,
        np.where(shared > 0, labels_N[best], -1),
        overlaps,
        offsets_to(segments, wanted),
        len(segments_M2),
        *(np.flatnonzero(each) for each in (foreground, incomplete, background, aside)),
    )


def offsets_to(segments_M2: np.ndarray, wanted_M2: np.ndarray) -> np.ndarray:
    """What regression should answer `(M, 2)`, the inverse of `regressed`."""
    (start, end), (low, high) = segments_M2.T, wanted_M2.T
    length, right = np.maximum(end - start, 1e-6), np.maximum(high - low, 1e-6)
    return np.stack(((low + high - start - end) / 2 / length, np.log(right / length)), 1)


def regressed(segments_M2: np.ndarray, offsets_M2: np.ndarray, end: float = 1.0) -> np.ndarray:
    """Segments moved and stretched by what was regressed, cut to a video from 0 to `end`."""
    length = segments_M2[:, 1] - segments_M2[:, 0]
    middle = segments_M2.mean(1) + length * offsets_M2[:, 0]
    half = length * np.exp(offsets_M2[:, 1]) / 2
    found: np.ndarray = np.clip(np.stack((middle - half, middle + half), 1), 0.0, end)
    return found


def settled(
    segments_M2: np.ndarray, scores_M: np.ndarray, offsets_M2: np.ndarray, overlap: float, end: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Detections of one class: first suppressed as they were proposed, then regressed, as the authors do.

    (MMAction2 regresses first.) Returns segments and scores, the best first.
    """
    kept, _, _ = greedy(segments_M2, scores_M, overlap)
    return regressed(segments_M2[kept], offsets_M2[kept], end), scores_M[kept]


def target_moments(videos: Sequence[Pools]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation `(2,)` of the targets of foreground proposals that are no actions themselves."""
    found = [own.targets[own.foreground[own.foreground < own.proposals]] for own in videos]
    targets = np.concatenate(found)
    if not len(targets):
        return np.zeros(2), np.ones(2)
    std = targets.std(0)
    return targets.mean(0), np.where(std > 1e-6, std, 1.0)


def drawn(
    videos: Sequence[Pools], video: int, rng: np.random.Generator, counts: tuple[int, int, int] = COUNTS
) -> list[tuple[int, int]]:
    """Proposals to show of one video: pairs of a video and an index, in the order of the pools.

    From a pool that is too small indices are drawn with replacement; for one that is empty, from that pool of
    all videos.

    Raises:
        InvalidAnnotation: If no video has any proposal for a pool; it says what of the recipe to change.
    """
    found: list[tuple[int, int]] = []
    for kind, count in enumerate(counts):
        own = [(video, int(i)) for i in videos[video].all[kind]]
        own = own or [(v, int(i)) for v, each in enumerate(videos) for i in each.all[kind]]
        if not own:
            raise InvalidAnnotation(_LACKING[kind])
        chosen = rng.choice(len(own), count, replace=len(own) < count)
        found += [own[i] for i in chosen]
    return found


@dataclass(frozen=True, eq=False)
class SegmentLoss:
    """The parts of the loss, unweighted.

    Attributes:
        activity: Cross-entropy of foreground and background.
        completeness: Hinge of foreground and of the hardest incomplete ones.
        regression: Twice the smooth L1 distance of the foreground.
    """

    activity: Tensor
    completeness: Tensor
    regression: Tensor

    @property
    def total(self) -> Tensor:
        """Their weighted sum."""
        return self.activity + _COMPLETENESS * self.completeness + _REGRESSION * self.regression


def segment_loss(
    found: Verdicts,
    labels_P: Tensor,
    targets_P2: Tensor,
    counts: tuple[int, int, int] = COUNTS,
    hardest: float = HARDEST,
) -> SegmentLoss:
    """The loss of V videos, whose proposals follow each other in the order of the pools.

    Args:
        found: What the network says.
        labels_P: Classes from 0; those of background mean nothing.
        targets_P2: Normalised targets of regression; those of others than foreground mean nothing.
        counts: Of each pool, as they were drawn.
        hardest: Fraction of a video's incomplete proposals that counts.
    """
    each = sum(counts)
    place = torch.arange(len(labels_P), device=labels_P.device) % each
    foreground, background = place < counts[0], place >= counts[0] + counts[1]
    asked = foreground | background
    activity = F.cross_entropy(found.activity[asked], torch.where(background, 0, labels_P + 1)[asked])
    chosen_P = found.completeness.gather(1, labels_P.clamp(min=0)[:, None])[:, 0]
    right = (1 - chosen_P[foreground]).clamp(min=0)
    wrong_VN = (1 + chosen_P[~asked]).clamp(min=0).unflatten(0, (-1, counts[1]))
    kept = int(counts[1] * hardest)
    worst = wrong_VN.topk(kept, 1).values.sum()
    completeness = (right.sum() + worst) / (len(right) + int(hardest * wrong_VN.numel()))
    index = labels_P[foreground]
    offsets = found.regression[foreground][torch.arange(len(index), device=index.device), index]
    regression = _SMOOTH * F.smooth_l1_loss(offsets, targets_P2[foreground])
    return SegmentLoss(activity, completeness, regression)

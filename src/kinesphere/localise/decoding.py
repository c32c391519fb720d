"""Answers of a one-stage detector turned into detections of one video, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kinesphere.annotations.timed import Detection
from kinesphere.localise.suppression import Suppression, suppressed
from kinesphere.models.temporal.pyramid import Answers, OneStage
from kinesphere.predict.features.file import VideoFeatures


@dataclass(frozen=True)
class Decoding:
    """Which answers become detections.

    Attributes:
        least_score: Answers of this probability or less are none.
        most: Largest number of answers of a level.
        least_rows: Segments of this many rows of features or fewer are none.
        suppression: What becomes of detections that overlap better ones.
    """

    least_score: float = 0.001
    most: int = 2000
    least_rows: float = 0.05
    suppression: Suppression = field(default_factory=Suppression)


def segments_of(net: OneStage, answers: Answers, rule: Decoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments `(N, 2)` in rows of the features, scores `(N,)` and classes `(N,)` of a batch of one.

    Raises:
        ValueError: If the batch is of several videos.
    """
    if len(answers.logits) != 1:
        raise ValueError(f"Videos are decoded one by one; got {len(answers.logits)}.")
    distances = net.distances(answers)[0]
    scores_PK = answers.logits[0].sigmoid() * answers.mask[0, :, None]
    first, found = 0, []
    for length in answers.lengths:
        found.append(_of_level(answers, distances, scores_PK, slice(first, first + length), rule))
        first += length
    segments, scores, labels = (np.concatenate(each) for each in zip(*found, strict=True))
    return suppressed(segments, scores, labels, rule.suppression)


def _of_level(
    answers: Answers, distances: Tensor, scores_PK: Tensor, level: slice, rule: Decoding
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = scores_PK[level].flatten()
    kept = torch.nonzero(scores > rule.least_score)[:, 0]
    order = scores[kept].argsort(descending=True, stable=True)[: rule.most]
    kept = kept[order]
    classes = scores_PK.shape[1]
    point, label = kept // classes, kept % classes
    reach = distances[level][point, label if distances.shape[1] > 1 else torch.zeros_like(label)]
    at, stride = answers.points.at[level][point], answers.points.stride[level][point]
    segments = torch.stack((at - reach[:, 0] * stride, at + reach[:, 1] * stride), 1)
    long = segments[:, 1] - segments[:, 0] > rule.least_rows
    found, score = segments[long].cpu().double().numpy(), scores[kept][long].cpu().double().numpy()
    return found, score, label[long].cpu().numpy()


def detections(
    features: VideoFeatures,
    segments_N2: np.ndarray,
    scores_N: np.ndarray,
    labels_N: np.ndarray,
    names: tuple[str, ...],
    video: str,
) -> list[Detection]:
    """Detections in seconds, cut to the video, the best first."""
    seconds = np.clip(features.to_s(segments_N2), 0.0, features.duration_s)
    return [
        Detection(video, names[label], float(start), float(end), score=float(score))
        for (start, end), score, label in zip(seconds, scores_N, labels_N, strict=True)
        if end > start
    ]

"""The baseline of localisation: a linear classifier of rows, with thresholds on its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.annotations.timed import Detection
from kinesphere.localise.decoding import detections
from kinesphere.localise.recordings import Recording
from kinesphere.localise.sight import moments
from kinesphere.localise.suppression import Suppression, suppressed

THRESHOLDS = tuple(np.round(np.arange(0.1, 0.95, 0.1), 1).tolist())
_DECAY, _STEPS = 1e-3, 100


@dataclass(frozen=True, eq=False)
class RowClassifier:
    """Classes and background of each row by a linear layer; see `fit_baseline`.

    Attributes:
        weight: `(K + 1, C)`, the background first.
        bias: `(K + 1,)`.
        mean, std: `(C,)` of the rows.
        classes: K names.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor
    classes: tuple[str, ...]

    def probabilities(self, values_NC: np.ndarray) -> np.ndarray:
        """`(N, K)` of the classes; what is missing to 1 is background."""
        rows = (torch.from_numpy(values_NC.copy()) - self.mean) / self.std
        found: np.ndarray = F.linear(rows, self.weight, self.bias).softmax(1)[:, 1:].double().numpy()
        return found

    def detect(self, recording: Recording) -> list[Detection]:
        """Stretches above each of several thresholds; of those that overlap by 0.7 the surest stays.

        The score of a stretch is its mean probability.
        """
        probabilities = self.probabilities(recording.features.values)
        found = [
            (first - 0.5, end - 0.5, float(probabilities[first:end, k].mean()), k)
            for k in range(len(self.classes))
            for threshold in THRESHOLDS
            for first, end in runs(probabilities[:, k] > threshold)
        ]
        if not found:
            return []
        segments = np.array([each[:2] for each in found])
        scores, labels = np.array([each[2] for each in found]), np.array([each[3] for each in found])
        kept = suppressed(segments, scores, labels, Suppression("hard", 0.7))
        return detections(recording.features, *kept, names=self.classes, video=recording.video)


def fit_baseline(recordings: Sequence[Recording], classes: tuple[str, ...], seed: int = 0) -> RowClassifier:
    """Fit the rows whose middle lies within an action, and all others as background, by logistic regression.

    Rows within several actions have the first of them. Classes weigh the same, so that background does not
    drown them.
    """
    mean, std = moments([each.features for each in recordings])
    rows = torch.cat([(torch.from_numpy(each.features.values.copy()) - mean) / std for each in recordings])
    targets = torch.cat([_row_labels(each, classes) for each in recordings])
    counts = targets.bincount(minlength=len(classes) + 1).clamp(min=1)
    weights = (len(targets) / counts / len(counts)).float()
    weight = torch.zeros(len(classes) + 1, rows.shape[1], requires_grad=True)
    bias = torch.zeros(len(classes) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(rows, weight, bias), targets, weights)
        loss = loss + _DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return RowClassifier(weight.detach(), bias.detach(), mean, std, classes)


def _row_labels(recording: Recording, classes: Sequence[str]) -> Tensor:
    number = {name: i + 1 for i, name in enumerate(classes)}
    found = torch.zeros(len(recording.features), dtype=torch.long)
    times = torch.from_numpy(recording.features.times_s.copy())
    for each in reversed(recording.labels):
        if each.label in number:
            found[(times >= each.start_s) & (times < each.end_s)] = number[each.label]
    return found


def runs(above_N: np.ndarray) -> list[tuple[int, int]]:
    """Stretches `(first, end)` in which a condition holds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], above_N, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]

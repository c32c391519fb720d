"""A linear classifier of single rows: what each of them looks like, without what is before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.localise.recordings import Recording
from kinesphere.localise.sight import moments

DECAY = 1e-3
_STEPS = 100


@dataclass(frozen=True, eq=False)
class RowClassifier:
    """Classes and background of each row by a linear layer; see `fit_rows`.

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

    def normalised_by(self, mean: Tensor, std: Tensor) -> RowClassifier:
        """The same classifier of rows that are normalised with other moments `(C,)`."""
        bias = self.bias + self.weight @ ((mean - self.mean) / self.std)
        return RowClassifier(self.weight * (std / self.std), bias, mean, std, self.classes)

    def probabilities(self, values_NC: np.ndarray) -> np.ndarray:
        """`(N, K)` of the classes; what is missing to 1 is background."""
        rows = (torch.from_numpy(values_NC.copy()) - self.mean) / self.std
        found: np.ndarray = F.linear(rows, self.weight, self.bias).softmax(1)[:, 1:].double().numpy()
        return found


def fit_rows(
    recordings: Sequence[Recording], classes: tuple[str, ...], decay: float = DECAY
) -> RowClassifier:
    """Fit the rows whose middle lies within an action, and all others as background, by logistic regression.

    Rows within several actions have the first of them. Classes weigh the same, so that background does not
    drown them.

    Args:
        recordings: To learn from.
        classes: Names.
        decay: Weight of the squares of the weights in the loss.
    """
    mean, std = moments([each.features for each in recordings])
    rows = torch.from_numpy(np.concatenate([each.features.values for each in recordings]))
    rows.sub_(mean).div_(std)
    targets = torch.cat([_row_labels(each, classes) for each in recordings])
    counts = targets.bincount(minlength=len(classes) + 1).clamp(min=1)
    weights = (len(targets) / counts / len(counts)).float()
    weight = torch.zeros(len(classes) + 1, rows.shape[1], requires_grad=True)
    bias = torch.zeros(len(classes) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(rows, weight, bias), targets, weights)
        loss = loss + decay * weight.square().sum()
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

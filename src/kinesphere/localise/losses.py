"""Losses of one-stage detectors: focal loss over all points, and DIoU of those that answer for an action.

B videos, P points, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.localise.assembly import Targets
from kinesphere.models.temporal.pyramid import Answers, OneStage

ALPHA, GAMMA = 0.25, 2.0
EPS = 1e-8


def sigmoid_focal(logits: Tensor, targets: Tensor, alpha: float = ALPHA, gamma: float = GAMMA) -> Tensor:
    """Focal loss of each answer, of the shape of the logits (Lin et al. 2017, equation 5)."""
    p = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * cross * (1 - right) ** gamma


def tiou_of(found: Tensor, wanted: Tensor) -> Tensor:
    """tIoU `(…)` of segments that share a point, by their distances `(…, 2)` from it."""
    shared = torch.minimum(found, wanted).sum(-1)
    return shared / (found.sum(-1) + wanted.sum(-1) - shared).clamp(min=EPS)


def diou(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - tIoU + (distance of middles / length of both together)² `(…)` (Zheng et al. 2020, equation 7)."""
    together = torch.maximum(found, wanted).sum(-1)
    middles = 0.5 * (found[..., 1] - found[..., 0] - wanted[..., 1] + wanted[..., 0])
    return 1 - tiou_of(found, wanted) + (middles / together.clamp(min=EPS)) ** 2


class DetectionLoss(nn.Module):
    """Focal and DIoU loss over a batch, divided by an average number of points that answer for an action.

    Args:
        smoothing: Fraction of a label that is spread over the classes and the background.
        power: Focal losses of right answers are multiplied by their tIoU to this power (TriDet); 0 for none.
        start: The average at the start.
        momentum: Of the average.
    """

    normaliser: Tensor

    def __init__(
        self, smoothing: float = 0.0, power: float = 0.0, start: float = 100.0, momentum: float = 0.9
    ) -> None:
        super().__init__()
        self.smoothing, self.power, self.momentum = smoothing, power, momentum
        self.register_buffer("normaliser", torch.tensor(start))

    def forward(self, net: OneStage, answers: Answers, targets: Sequence[Targets]) -> tuple[Tensor, Tensor]:
        """The two parts of the loss."""
        wanted_BPK = torch.stack([each.classes for each in targets])
        reach_BP2 = torch.stack([each.distances for each in targets])
        positive_BP = torch.stack([each.positive for each in targets]) & answers.mask
        if self.training:
            count = positive_BP.sum().clamp(min=1).to(self.normaliser.dtype)
            self.normaliser.mul_(self.momentum).add_((1 - self.momentum) * count)
        found = net.distances(answers)
        each_diou, each_tiou = self._reach(found, reach_BP2, wanted_BPK, positive_BP)
        smoothed = wanted_BPK * (1 - self.smoothing) + self.smoothing / (wanted_BPK.shape[-1] + 1)
        focal_BPK = sigmoid_focal(answers.logits, smoothed if self.smoothing else wanted_BPK)
        if self.power:
            focal_BPK = focal_BPK * each_tiou
        focal = (focal_BPK * answers.mask.unsqueeze(2)).sum()
        return focal / self.normaliser, each_diou / self.normaliser

    def _reach(
        self, found: Tensor, wanted_BP2: Tensor, classes_BPK: Tensor, positive_BP: Tensor
    ) -> tuple[Tensor, Tensor]:
        """DIoU summed over what should answer, and the weight `(B, P, K)` of focal losses."""
        weight = torch.ones_like(classes_BPK)
        if found.shape[2] == 1:
            loss = diou(found[:, :, 0][positive_BP], wanted_BP2[positive_BP]).sum()
            return loss, weight
        right_BPK = (classes_BPK > 0) & positive_BP.unsqueeze(2)
        wanted = wanted_BP2.unsqueeze(2).expand_as(found)
        loss = diou(found[right_BPK], wanted[right_BPK]).sum()
        weight[right_BPK] = tiou_of(found[right_BPK], wanted[right_BPK]) ** self.power
        return loss, weight


def cheapest(net: OneStage, answers: Answers, video: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The cost of answering for actions as the network stands: twice the DIoU loss, and the focal loss.

    Tang et al. 2023 assign the ends of an action by it where a point could answer for several.

    Args:
        net: Of plain distances.
        answers: Of a batch.
        video: Its number in the batch.
    """
    found_P2 = net.distances(answers)[video, :, 0].detach()
    logits_PK = answers.logits[video].detach()

    def cost(distances_PN2: Tensor, labels_N: Tensor) -> Tensor:
        wanted_NK = F.one_hot(labels_N, logits_PK.shape[1]).to(logits_PK.dtype)
        each_PN = [sigmoid_focal(logits_PK, each.expand_as(logits_PK)).sum(1) for each in wanted_NK]
        focal_PN = torch.stack(each_PN, 1)
        return 2 * diou(found_P2[:, None].expand_as(distances_PN2), distances_PN2) + focal_PN

    return cost

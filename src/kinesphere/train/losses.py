"""What training minimises: functions of logits and targets, and a registry of them.

B batch, K classes. Targets are class indices (B,), or rows (B, K): soft ones from mixup and
CutMix, or 0/1 rows where a sample carries several labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import Registry

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LossContext:
    """What a loss may depend on.

    Attributes:
        class_counts: (K,) training samples of each class.
        multi: Whether a sample may carry several labels.
        label_smoothing: Fraction of a target that is spread over all classes, in [0, 1).
        beta: Beta of the effective number of samples, in [0, 1).
        gamma: Focusing exponent, at least 0.
        tau: Strength of the logits' adjustment, at least 0.
    """

    class_counts: Tensor
    multi: bool = False
    label_smoothing: float = 0.0
    beta: float = 0.999
    gamma: float = 2.0
    tau: float = 1.0


@runtime_checkable
class MakesLoss(Protocol):
    """Makes the loss of a task."""

    def __call__(self, context: LossContext, /) -> LossFunction: ...


LOSSES: Registry[MakesLoss] = Registry("loss", MakesLoss, group="kinesphere.losses")


def make_loss(name: str, context: LossContext) -> LossFunction:
    """The loss called `name`: logits (B, K) and targets (B,) or (B, K) to a scalar.

    Raises:
        UnknownName: If no such loss is registered.
        InvalidSetting: If the loss does not fit the task.
    """
    return LOSSES.get(name)(context)


def dense_targets(targets: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Targets as rows of probabilities, smoothed (Szegedy et al. 2016, section 7).

    Args:
        targets: (B,) class indices or (B, K) rows.
        classes: K.
        smoothing: Share spread uniformly over all K classes.

    Returns:
        (B, K) float rows.
    """
    rows = F.one_hot(targets, classes).float() if targets.dim() == 1 else targets.float()
    return rows * (1 - smoothing) + smoothing / classes


def effective_number_weights(class_counts: Tensor, beta: float) -> Tensor:
    """Weights (1 - beta) / (1 - beta^n), scaled to a mean of 1 (Cui et al. 2019, equations 2 and 4).

    Classes without a sample get weight 0 and do not count for the mean.

    Args:
        class_counts: (K,) samples per class.
        beta: In [0, 1); 0 weighs all classes alike, towards 1 by inverse frequency.

    Returns:
        (K,) float64 weights.
    """
    counts = class_counts.double()
    present = counts > 0
    # expm1 and log1p keep the digits that 1 - beta**n loses for beta near 1.
    effective = -torch.expm1(counts * torch.log1p(torch.tensor(-(1 - beta), dtype=torch.float64)))
    weights = torch.where(present, (1 - beta) / effective.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    return weights * present.sum() / weights.sum()


def log_priors(class_counts: Tensor) -> Tensor:
    """Logarithms of the classes' shares in the training file; a class without a sample counts as one.

    The shares are those of the file, whatever a sampler draws: balanced draws need no adjustment besides.

    Args:
        class_counts: (K,) samples per class.

    Returns:
        (K,) float64.
    """
    counts = class_counts.double().clamp(min=1)
    return (counts / counts.sum()).log()


def focal_cross_entropy(logits: Tensor, rows: Tensor, gamma: float) -> Tensor:
    """Mean of -sum_k t_k (1 - p_k)^gamma log p_k (Lin et al. 2017, equation 4, over a softmax)."""
    log_p = logits.float().log_softmax(dim=-1)
    return -(rows * _focus(-torch.expm1(log_p), gamma) * log_p).sum(dim=-1).mean()


def focal_binary_cross_entropy(logits: Tensor, rows: Tensor, gamma: float) -> Tensor:
    """The same for several labels per sample: every class is predicted independently (sigmoid)."""
    logits = logits.float()
    loss = F.binary_cross_entropy_with_logits(logits, rows, reduction="none")
    wrong = rows * (-logits).sigmoid() + (1 - rows) * logits.sigmoid()
    return (_focus(wrong, gamma) * loss).mean()


def _focus(wrong: Tensor, gamma: float) -> Tensor:
    """`wrong ** gamma`, kept from 0, where its slope is infinite for exponents below 1."""
    return wrong.clamp(min=torch.finfo(wrong.dtype).eps) ** gamma


@LOSSES.register("cross_entropy")
def _cross_entropy(context: LossContext) -> LossFunction:
    return _weighted_cross_entropy("cross_entropy", context)


@LOSSES.register("class_balanced")
def _class_balanced(context: LossContext) -> LossFunction:
    weights = effective_number_weights(context.class_counts, context.beta).float()
    return _weighted_cross_entropy("class_balanced", context, weights)


@LOSSES.register("logit_adjusted")
def _logit_adjusted(context: LossContext) -> LossFunction:
    """Cross-entropy of logits to which tau log prior is added (Menon et al. 2021, equation 10)."""
    return _weighted_cross_entropy(
        "logit_adjusted", context, added=context.tau * log_priors(context.class_counts)
    )


@LOSSES.register("balanced_softmax")
def _balanced_softmax(context: LossContext) -> LossFunction:
    """Cross-entropy over a softmax whose terms are weighted by counts (Ren et al. 2020, equation 3)."""
    return _weighted_cross_entropy("balanced_softmax", context, added=log_priors(context.class_counts))


def _weighted_cross_entropy(
    name: str, context: LossContext, weights: Tensor | None = None, added: Tensor | None = None
) -> LossFunction:
    """Mean over the batch, not over weights, of -sum_k w_k t_k log p_k, in float32; p of logits + `added`."""
    if context.multi:
        raise InvalidSetting(
            f"The loss {name!r} needs one label per sample; these have several: use bce or focal."
        )

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1])  # with indices torch would divide by the weights
        w = None if weights is None else weights.to(logits.device)
        z = logits.float() if added is None else logits.float() + added.to(logits.device, torch.float32)
        return F.cross_entropy(z, rows, w, label_smoothing=context.label_smoothing)

    return loss


@LOSSES.register("focal")
def _focal(context: LossContext) -> LossFunction:
    form = focal_binary_cross_entropy if context.multi else focal_cross_entropy
    smoothing = context.label_smoothing
    return lambda logits, targets: form(
        logits, dense_targets(targets, logits.shape[-1], smoothing), context.gamma
    )


@LOSSES.register("bce")
def _bce(context: LossContext) -> LossFunction:
    smoothing = context.label_smoothing

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1])
        # Each class is a binary problem, so its target is smoothed towards one half.
        return F.binary_cross_entropy_with_logits(logits.float(), rows * (1 - smoothing) + smoothing / 2)

    return loss

"""What training minimises: functions of logits and targets, and a registry of them.

B batch, K classes. Targets are class indices (B,), or rows (B, K): soft ones from mixup and
CutMix, or 0/1 rows where a sample carries several labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
        margin: Largest margin of LDAM, that of the rarest class.
        scale: Factor of the cosines that arrive as logits, for LDAM.
        defer: Fraction of the steps after which classes are weighted by their effective number; None weighs
            from the start where a loss does, and never in LDAM.
        clip: Probability below which a label that is not there costs nothing, for the asymmetric loss.
        families: (K,) number of each class's family.
        parent_weight: Weight of the loss of families beside that of classes.
    """

    class_counts: Tensor
    multi: bool = False
    label_smoothing: float = 0.0
    beta: float = 0.999
    gamma: float = 2.0
    tau: float = 1.0
    margin: float = 0.5
    scale: float = 30.0
    defer: float | None = None
    clip: float = 0.05
    families: Tensor | None = None
    parent_weight: float = 0.0


@dataclass(frozen=True, eq=False)
class DeferredLoss:
    """A loss that changes once in a training: deferred re-weighting (Cao et al. 2019, section 3.3).

    Called as it is, for validation, it is what it becomes, so that its values can be compared.

    Attributes:
        early: The loss of the first steps.
        late: The loss after them.
        after: Fraction of the steps that are the first ones.
    """

    early: LossFunction
    late: LossFunction
    after: float

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.late(logits, targets)

    def at(self, progress: float) -> LossFunction:
        """The loss of a step before which a fraction `progress` of all steps was made."""
        return self.early if progress < self.after else self.late


@runtime_checkable
class ChangesInTraining(Protocol):
    """A loss that is another one at other times of a training."""

    def at(self, progress: float) -> LossFunction:
        """The loss of a step before which a fraction `progress` of all steps was made."""
        ...


def loss_at(loss: LossFunction, progress: float) -> LossFunction:
    """The loss of a step before which a fraction `progress` of all steps was made."""
    return loss.at(progress) if isinstance(loss, ChangesInTraining) else loss


@runtime_checkable
class MakesLoss(Protocol):
    """Makes the loss of a task."""

    def __call__(self, context: LossContext, /) -> LossFunction: ...


LOSSES: Registry[MakesLoss] = Registry("loss", MakesLoss, group="kinesphere.losses")


def check_loss(name: str) -> None:
    """Refuse a loss that nothing here knows; `auto` is decided by the labels.

    Raises:
        UnknownName: If no such loss is registered.
    """
    if name != "auto":
        LOSSES.get(name)


def make_loss(name: str, context: LossContext) -> LossFunction:
    """The loss called `name`: logits (B, K) and targets (B,) or (B, K) to a scalar.

    Raises:
        UnknownName: If no such loss is registered.
        InvalidSetting: If the loss does not fit the task.
    """
    loss = LOSSES.get(name)(context)
    if context.parent_weight == 0:
        return loss
    if context.multi:
        raise InvalidSetting(
            "loss.parents needs one label per sample, since a family's probability is the sum of its "
            "classes'; these have several: leave it out."
        )
    if isinstance(loss, DeferredLoss):
        return DeferredLoss(
            _with_families(loss.early, context), _with_families(loss.late, context), loss.after
        )
    return _with_families(loss, context)


def _with_families(loss: LossFunction, context: LossContext) -> LossFunction:
    """A loss of classes plus that of their families."""
    families, weight = context.families, context.parent_weight
    if families is None or len(families) == len(families.unique()):
        raise InvalidSetting(
            "loss.parents weighs the families of classes, and no two classes have a parent in common; state "
            "data.parents, or leave it out."
        )

    def both(logits: Tensor, targets: Tensor) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1])
        return loss(logits, targets) + weight * family_cross_entropy(logits, rows, families)

    return both


def family_cross_entropy(logits: Tensor, rows: Tensor, families: Tensor) -> Tensor:
    """Mean of -sum_f t_f log p_f over families, whose probabilities are the sums of their classes'.

    Args:
        logits: (B, K).
        rows: (B, K) targets.
        families: (K,) number of each class's family.
    """
    log_p = logits.float().log_softmax(dim=-1)
    members = [families.to(logits.device) == number for number in families.unique().tolist()]
    of_families = torch.stack([log_p[:, each].logsumexp(dim=-1) for each in members], dim=-1)
    targets = torch.stack([rows[:, each].sum(dim=-1) for each in members], dim=-1)
    return -(targets * of_families).sum(dim=-1).mean()


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


def ldam_margins(class_counts: Tensor, largest: float) -> Tensor:
    """Margins in proportion to n^(-1/4) (Cao et al. 2019, equation 13), of the rarest class `largest`.

    A class without a sample has the largest as well.

    Args:
        class_counts: (K,) samples per class.
        largest: Of all margins.

    Returns:
        (K,) float64.
    """
    counts = class_counts.double()
    present = counts > 0
    roots = counts.clamp(min=1) ** -0.25
    most = roots[present].max() if present.any() else roots.max()
    return torch.where(present, largest * roots / most, largest)


def margin_cross_entropy(
    logits: Tensor, rows: Tensor, margins: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean of -sum_k w_k t_k log p_k, each p_k with the margin taken from the logit of k alone.

    Soft targets give the mean of what hard ones would.

    Args:
        logits: (B, K).
        rows: (B, K) targets.
        margins: (K,) in units of the logits.
        weights: (K,) of the classes, or None.
    """
    z = logits.float()
    # log of the sum over all other classes: exact for the largest logit, where 1 - p would lose its digits.
    is_top = F.one_hot(z.argmax(dim=-1), z.shape[-1]).bool()
    total = z.logsumexp(dim=-1, keepdim=True)
    p = (z - total).exp().masked_fill(is_top, 0.0)
    without_top = z.masked_fill(is_top, -torch.inf).logsumexp(dim=-1, keepdim=True)
    others = torch.where(is_top, without_top, total + torch.log1p(-p))
    loss = F.softplus(others - z + margins.to(z.device, torch.float32))
    weighted = rows if weights is None else rows * weights.to(z.device, torch.float32)
    return (weighted * loss).sum(dim=-1).mean()


def asymmetric_cross_entropy(logits: Tensor, rows: Tensor, gamma: float, clip: float) -> Tensor:
    """Mean over classes of the asymmetric loss (Ridnik et al. 2021, equations 4 to 6), positives unfocused.

    Args:
        logits: (B, K).
        rows: (B, K) targets.
        gamma: Focusing exponent of labels that are not there.
        clip: Their probabilities are lowered by this, to 0 at least.
    """
    logits = logits.float()
    p = (logits.sigmoid() - clip).clamp(min=0)
    absent = -_focus(p, gamma) * torch.log1p(-p.clamp(max=1 - torch.finfo(p.dtype).eps))
    return (rows * F.softplus(-logits) + (1 - rows) * absent).mean()


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
    late = _weighted_cross_entropy("class_balanced", context, weights)
    if context.defer is None:
        return late
    return DeferredLoss(_weighted_cross_entropy("class_balanced", context), late, context.defer)


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
        raise _needs_one_label(name)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1])  # with indices torch would divide by the weights
        w = None if weights is None else weights.to(logits.device)
        z = logits.float() if added is None else logits.float() + added.to(logits.device, torch.float32)
        return F.cross_entropy(z, rows, w, label_smoothing=context.label_smoothing)

    return loss


def _needs_one_label(name: str) -> InvalidSetting:
    return InvalidSetting(
        f"The loss {name!r} needs one label per sample; these have several: use bce, focal or asymmetric."
    )


@LOSSES.register("ldam")
def _ldam(context: LossContext) -> LossFunction:
    """Label-distribution-aware margins on cosines (Cao et al. 2019), with deferred re-weighting."""
    if context.multi:
        raise _needs_one_label("ldam")
    margins = context.scale * ldam_margins(context.class_counts, context.margin)
    weights = effective_number_weights(context.class_counts, context.beta)

    def loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1], context.label_smoothing)
        return margin_cross_entropy(logits, rows, margins, weights)

    if context.defer is None:
        return loss
    return DeferredLoss(loss, partial(loss, weights=weights), context.defer)


@LOSSES.register("asymmetric")
def _asymmetric(context: LossContext) -> LossFunction:
    """For several labels per sample, of which most are absent."""
    smoothing = context.label_smoothing

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        rows = dense_targets(targets, logits.shape[-1]) * (1 - smoothing) + smoothing / 2
        return asymmetric_cross_entropy(logits, rows, context.gamma, context.clip)

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

"""Parameter groups and optimisers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.recogniser import Recogniser
from kinesphere.train.config import OptimizerSection


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes:
        stage: Stage of the model, `"tail"` (layers between the last stage and the head), or `"head"`.
        parameters: Those that learn.
        lr: Peak learning rate.
        weight_decay: 0 for biases and normalisation layers.
    """

    stage: str
    parameters: tuple[nn.Parameter, ...]
    lr: float
    weight_decay: float


def parameter_groups(recogniser: Recogniser, settings: OptimizerSection) -> list[ParameterGroup]:
    """The learning parameters by stage and by whether they decay, input first.

    With S stages, stage s (counted from 1 at the input) learns at
    `lr * layer_decay ** (S + 1 - s)`, layers behind the last stage like it, and the head at `lr * head_lr`
    (layer-wise decay: Clark et al. 2020, section 3.2; Bao et al. 2022, appendix). Vectors and scalars
    (biases, normalisation) never decay.

    Raises:
        InvalidSetting: If every parameter is frozen.
    """
    groups = []
    for depth, (stage, parameters) in enumerate(recogniser.stage_parameters()):
        below_head = max(
            1, len(recogniser.stages) - depth
        )  # the tail is as near to the head as the last stage
        scale = settings.head_lr if stage == "head" else settings.layer_decay**below_head
        learning = [p for p in parameters.values() if p.requires_grad]
        for decays in (True, False):
            chosen = tuple(p for p in learning if (p.dim() > 1) == decays)
            if chosen:
                decay = settings.weight_decay if decays else 0.0
                groups.append(ParameterGroup(stage, chosen, settings.lr * scale, decay))
    if not groups:
        raise InvalidSetting("Every parameter is frozen, so nothing can learn; freeze fewer stages.")
    return groups


def make_optimizer(
    recogniser: Recogniser, settings: OptimizerSection, *, scaled: bool = False
) -> torch.optim.Optimizer:
    """The optimiser over all parameters that learn.

    Args:
        recogniser: Whose parameters.
        settings: Kind, rates and decay.
        scaled: Whether gradients arrive scaled, as in fp16, and are brought back before the step.

    Raises:
        InvalidSetting: If every parameter is frozen.
    """
    return optimizer_of(parameter_groups(recogniser, settings), settings, scaled=scaled)


def optimizer_of(
    parts: Sequence[ParameterGroup], settings: OptimizerSection, *, scaled: bool = False
) -> torch.optim.Optimizer:
    """The optimiser over groups of parameters, one or more; arguments as of `make_optimizer`."""
    groups = [
        {"params": list(group.parameters), "lr": group.lr, "weight_decay": group.weight_decay}
        for group in parts
    ]
    # One pass over all tensors. On GPUs the default is as fast. A fused step would undo the scale within
    # itself, so gradients could not be measured, let alone clipped, before it.
    fused = True if parts[0].parameters[0].device.type == "cpu" and not scaled else None
    if settings.name == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, momentum=settings.momentum, nesterov=nesterov, fused=fused)
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, betas=settings.betas, fused=fused)

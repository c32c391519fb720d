"""Whether a method looks at what was learnt: its maps against those of randomised networks.

Adebayo et al.: "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3: layers lose their weights one
after the other, from the head down; a method whose maps stay alike does not depend on what was learnt.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kinesphere.explain.method import Method, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Recogniser


@dataclass(frozen=True)
class Sanity:
    """How alike the maps of a method stay while a network loses what it has learnt.

    Attributes:
        STILL_ALIKE: Above this maps are alike.
        method: Name of the method.
        layers: Names of the groups of layers, from the head down.
        alike: Spearman's rank correlation of the absolute maps with those of the whole network after each,
            the mean over clips.
    """

    STILL_ALIKE: ClassVar[float] = 0.5
    method: str
    layers: tuple[str, ...]
    alike: tuple[float, ...]

    @property
    def is_blind(self) -> bool:
        """Whether the maps of the network without any learnt layer are still alike."""
        return self.alike[-1] > self.STILL_ALIKE


def check_sanity(
    recogniser: Recogniser,
    method: Method,
    inputs: tuple[Tensor, ...],
    label: int,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
) -> Sanity:
    """Randomise a copy of a network from the head down, and explain the same class of the same clips.

    Args:
        recogniser: Stays as it is.
        method: One that is defined for it.
        inputs: Normalised clips `(B, T, ...)`, one tensor per input; several clips make the check steadier.
        label: Index of the class.
        settings: How much work the method does.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    lost = Recogniser(
        copy.deepcopy(recogniser.net), recogniser.card, recogniser.specs, recogniser.labels,
        dict(recogniser.arguments), recogniser.provenance, recogniser.head,
    ).eval()  # fmt: skip

    def explained() -> list[Tensor]:
        heats = method.heat(Scored(lost, Target(label)), inputs, settings)
        return [heat for heat in heats if heat is not None]

    whole, names, alike = explained(), [], []
    for name, parameters in reversed(lost.stage_parameters()):
        for parameter in parameters.values():
            values = parameter.data
            fresh = torch.randn(values.shape, generator=generator).to(values)
            spread = values.std() if values.numel() > 1 else values.abs().mean()
            parameter.data = fresh * spread + values.mean()
        names.append(name)
        after = explained()
        clips = range(len(inputs[0]))
        each = [likeness([heat[i] for heat in whole], [heat[i] for heat in after]) for i in clips]
        alike.append(float(np.mean(each)))
    return Sanity(method.name, tuple(names), tuple(alike))


def likeness(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Spearman's rank correlation of the absolute heat of two maps; 0 where one of them is empty or even."""
    from scipy.stats import spearmanr  # as in `agreement`

    a = np.concatenate([heat.detach().abs().flatten().cpu().numpy() for heat in one])
    b = np.concatenate([heat.detach().abs().flatten().cpu().numpy() for heat in other])
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)

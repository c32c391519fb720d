"""How much each stream of an answer contributes: the models of a fusion, or the inputs of one network.

B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, permutations
from math import factorial
from typing import Any, Literal

import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.text import told_apart
from kinesphere.explain.target import Scored, Target
from kinesphere.predict.fusion import FusedPredictor

_MOST_INPUTS = 6


@dataclass(frozen=True)
class StreamContribution:
    """What one stream adds.

    Attributes:
        name: Of the model, or of the input (see `input_names`).
        contribution: What it adds to what is explained.
        without: What is left when this stream is left out; None where nothing is.
        total: What the contributions of all streams add up to.
        of: What is explained: a probability, of a fusion; or a score (a logit, or a lead), of a network.
        within: The network whose input it is; empty for a model of a fusion.
    """

    name: str
    contribution: float
    without: float | None
    total: float
    of: Literal["probability", "score"]
    within: str = ""

    @property
    def fraction(self) -> float | None:
        """The contribution as a fraction of the total; None where that is 0."""
        return self.contribution / self.total if self.total else None

    def sentence(self) -> str:
        """The figures in words."""
        whole = "probability" if self.of == "probability" else "score above that of empty inputs"
        share = "" if self.fraction is None else f" ({100 * self.fraction:.0f} %)"
        rest = "" if self.without is None else f"; without it the {self.of} is {self.without:.3g}"
        return f"{self.name} adds {self.contribution:.3g} of the {whole}, {self.total:.3g}{share}{rest}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "fraction": self.fraction}


def input_names(specs: Sequence[ClipSpec]) -> list[str]:
    """What the inputs of one network are called: by their modality, those of one modality by their frames."""
    modalities = [spec.modality for spec in specs]
    return told_apart(
        name if modalities.count(name) == 1 else f"{name} {spec.sampling}"
        for name, spec in zip(modalities, specs, strict=True)
    )


def fused_contributions(
    predictor: FusedPredictor,
    inputs: Sequence[Tensor],
    target: Target,
    views: Views = Views(),  # noqa: B008
) -> tuple[StreamContribution, ...]:
    """What each model of a fusion contributes to the probability that is explained.

    Exact: a fused probability is the weighted sum of the models' own, so that a model contributes its weight
    times its own. Without a model, the others share its weight in proportion to theirs.

    Args:
        predictor: The fusion.
        inputs: Stored clips of one sample `(1, V, T, ...)`, one tensor per contract of the fusion.
        target: A class, or how far it is ahead of another, in probabilities.
        views: Of the sample.
    """
    own = [
        float(target.of(probabilities)[0]) for probabilities in predictor.member_probabilities(inputs, views)
    ]
    weights = predictor.weights_for(inputs)[0].tolist()
    parts = [weight * score for weight, score in zip(weights, own, strict=True)]
    total = sum(parts)
    return tuple(
        StreamContribution(
            name, part, (total - part) / (1 - weight) if weight < 1 else None, total, "probability"
        )
        for name, part, weight in zip(predictor.member_names, parts, weights, strict=True)
    )


def input_contributions(
    scored: Scored, inputs: Sequence[Tensor], batch: int = 8
) -> tuple[StreamContribution, ...]:
    """What each input of one network contributes to the score: Shapley values, exact.

    An input's contribution is the mean, over all orders in which the inputs may be shown, of what the score
    gains when it is (Shapley: "A Value for n-Person Games", 1953). They add up to the score of the clip less
    that of empty inputs. An empty input is zeros: the mean colour, no motion, nobody. A network of n inputs
    answers 2ⁿ altered copies, each once.

    Args:
        scored: A network of two inputs or more with what is explained of it.
        inputs: Normalised clips of one sample, `(1, T, ...)`.
        batch: Altered copies that run through the network together.

    Raises:
        InvalidSetting: If the network has one input, or more than six.
    """
    specs = scored.recogniser.specs
    count, name = len(specs), scored.recogniser.card.name
    if count < 2:
        raise InvalidSetting(
            f"{name} has one input, which is all that its answer rests on; contributions of streams are for "
            "models with several inputs, and for fused ones."
        )
    if count > _MOST_INPUTS:
        raise InvalidSetting(
            f"Contributions are computed of up to {_MOST_INPUTS} inputs; {name} has {count}."
        )
    score = _coalitions(scored, inputs, batch)
    whole = 2**count - 1
    gains = [0.0] * count
    for order in permutations(range(count)):
        seen = [sum(1 << i for i in order[:k]) for k in range(count + 1)]
        for i, (before, after) in zip(order, pairwise(seen), strict=True):
            gains[i] += score[after] - score[before]
    values = [gain / factorial(count) for gain in gains]
    return tuple(
        StreamContribution(own, value, score[whole & ~(1 << i)], sum(values), "score", name)
        for i, (own, value) in enumerate(zip(input_names(specs), values, strict=True))
    )


@torch.inference_mode()
def _coalitions(scored: Scored, inputs: Sequence[Tensor], batch: int) -> list[float]:
    """The score with each set of inputs shown; bit i of a set's number says whether input i is."""
    sets = torch.arange(2 ** len(inputs), device=inputs[0].device)
    found: list[float] = []
    for part in sets.split(batch):
        copies = [
            clip * ((part >> i) & 1).to(clip.dtype).view(-1, *(1 for _ in clip.shape[1:]))
            for i, clip in enumerate(inputs)
        ]
        found += scored(*copies).tolist()
    return found

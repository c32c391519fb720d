"""How much each stream of an answer contributes: the models of a fusion, or the inputs of one network.

B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.requirements import require_captum
from kinesphere.explain.target import Scored, Target
from kinesphere.predict.fusion import FusedPredictor


@dataclass(frozen=True)
class StreamContribution:
    """What one stream adds.

    Attributes:
        name: Of the model, or of the input's modality.
        contribution: What it adds to the score.
        without: The score when this stream is left out.
        total: What the contributions of all streams add up to.
    """

    name: str
    contribution: float
    without: float
    total: float

    @property
    def fraction(self) -> float:
        """The contribution as a fraction of the total; NaN where that is 0."""
        return self.contribution / self.total if self.total else float("nan")


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
    parts = [weight * score for weight, score in zip(predictor.weights, own, strict=True)]
    total = sum(parts)
    return tuple(
        StreamContribution(
            member.name, part, (total - part) / (1 - weight) if weight < 1 else float("nan"), total
        )
        for member, part, weight in zip(predictor.members, parts, predictor.weights, strict=True)
    )


def input_contributions(
    scored: Scored, inputs: Sequence[Tensor], batch: int = 8
) -> tuple[StreamContribution, ...]:
    """What each input of one network contributes to the score: Shapley values, exact, by Captum.

    An input's contribution is the mean, over all orders in which the inputs may be shown, of what the score
    gains when it is (Shapley 1953). They add up to the score of the clip less that of empty inputs. An empty
    input is zeros: the mean colour, no motion, nobody.

    Args:
        scored: A network of two inputs or more with what is explained of it.
        inputs: Normalised clips of one sample, `(1, T, ...)`.
        batch: Altered copies that run through the network together.

    Raises:
        InvalidSetting: If the network has one input.
        MissingExtra: If Captum is not installed.
    """
    specs = scored.recogniser.specs
    if len(specs) < 2:
        raise InvalidSetting(
            f"{scored.recogniser.card.name} has one input, which is all that its answer rests on; "
            "contributions of streams are for models with several inputs, and for fused ones."
        )
    require_captum("The contribution of inputs")
    from captum.attr import ShapleyValues

    present = torch.ones(1, len(specs), device=inputs[0].device)

    def score(shown: Tensor) -> Tensor:
        scores: Tensor = scored(
            *(clip * shown[:, i].view(-1, *(1 for _ in clip.shape[1:])) for i, clip in enumerate(inputs))
        )
        return scores

    with torch.no_grad():
        values = ShapleyValues(score).attribute(present, perturbations_per_eval=batch)[0].tolist()
        left_out = score(1 - torch.eye(len(specs), device=present.device)).tolist()
    return tuple(
        StreamContribution(spec.modality, value, without, sum(values))
        for spec, value, without in zip(specs, values, left_out, strict=True)
    )

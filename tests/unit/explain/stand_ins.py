"""A method whose heat is known, and untrained models to explain."""

from __future__ import annotations

import torch
from torch import Tensor

from kinesphere.clips import ClipSpec
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.explain.method import Method, Settings
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser, create_model
from kinesphere.predict import Predictor


class Brightness(Method):
    """The pixels themselves as heat; of poses the height of joints."""

    name = "brightness"
    summary = "For tests."
    by_class = False

    def heat(
        self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Tensor | None, ...]:
        means = [x.mean(2) if x.shape[2] == 3 else x[..., 1] for x in inputs]
        return tuple(mean - mean.amin() for mean in means)


def predictor_of(model: str, spec: ClipSpec | None = None) -> Predictor:
    """An untrained predictor of two classes; `spec` in place of the card's."""
    torch.manual_seed(0)
    made = create_model(model, LabelSet(("hop", "skip")))
    if spec is not None:
        made = Recogniser(made.net, made.card, (spec,), made.labels, dict(made.arguments), made.provenance)
    return Predictor(made, Compute("cpu", "fp32", True), optimise=False)

"""Small recognisers with clips for them, as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor

from kinesphere.clips import ClipSpec
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Recogniser, create_model
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.weights.keymap import Arguments


def example(spec: ClipSpec, batch: int) -> Tensor:
    """A normalised batch: noise, or joints in the picture with any score."""
    shape = input_shape(spec, batch=batch)
    if spec.skeleton is None:
        return torch.randn(shape)
    points = (torch.rand(*shape[:-1], spec.dimensions) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    return torch.cat([points, 0.1 + 0.9 * torch.rand(*shape[:-1], 1)], -1)


def recogniser_and_clips(
    name: str, *, batch: int = 2, arguments: Arguments | None = None
) -> tuple[Recogniser, tuple[Tensor, ...]]:
    """An untrained recogniser of three classes with clips; the same each time."""
    torch.manual_seed(0)
    recogniser = create_model(name, ("clap", "jump", "wave"), arguments=arguments)
    return recogniser, tuple(example(spec, batch) for spec in recogniser.specs)


def scored_and_clips(
    name: str, *, batch: int = 2, arguments: Arguments | None = None
) -> tuple[Scored, tuple[Tensor, ...]]:
    """The score of the first clip's class by an untrained recogniser."""
    recogniser, clips = recogniser_and_clips(name, batch=batch, arguments=arguments)
    with torch.no_grad():
        label = int(recogniser(*clips)[0].argmax())
    return Scored(recogniser, Target(label)), clips

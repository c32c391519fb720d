"""Activations of a network's layers, and the score's gradients to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser
from kinesphere.models.card import CamLayer, resolved
from kinesphere.models.layout import Layout, layout_of


@dataclass(frozen=True)
class Seen:
    """What one layer showed.

    Attributes:
        layer: Which one.
        layout: How it is laid out.
        activations: `(N, C, *cells)`.
        gradients: Of the score to them.
    """

    layer: CamLayer
    layout: Layout
    activations: Tensor
    gradients: Tensor


def chosen(recogniser: Recogniser, path: str | None) -> tuple[CamLayer, ...]:
    """The layers of the card, or the one that is asked for.

    A layer that the card does not know has the layout of the one whose path begins most like its own.

    Raises:
        InvalidSetting: If the network has no such layer.
    """
    known = recogniser.card.cam_layers
    if path is None or not known:
        return known
    net = recogniser.net
    try:
        wanted = resolved(net, path)
        net.get_submodule(wanted)
    except (AttributeError, IndexError):
        raise InvalidSetting(
            f"{recogniser.card.name} has no layer {path!r}; its layers with cells are "
            f"{', '.join(layer.path for layer in known)}, its stages {', '.join(recogniser.stages)}."
        ) from None

    def alike(layer: CamLayer) -> int:
        pairs = zip(resolved(net, layer.path), wanted, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(wanted))

    return (replace(max(known, key=alike), path=wanted),)


def look(scored: Scored, inputs: tuple[Tensor, ...], layers: tuple[CamLayer, ...]) -> list[Seen]:
    """Run the network, and the part of it behind the layers backwards.

    No graph is kept of what comes before the first of the layers.

    Raises:
        InvalidSetting: If a layer runs several times, or its output is not laid out as it says.
    """
    recogniser = scored.recogniser
    reached: dict[str, Tensor] = {}

    def keep(path: str, output: object) -> Tensor:
        if path in reached or not isinstance(output, Tensor):
            raise InvalidSetting(
                f"The layer {path!r} of {recogniser.card.name} runs several times, or gives no tensor; "
                "choose another, or none for the model's own."
            )
        torch.set_grad_enabled(True)  # until the pass ends
        kept = output if output.requires_grad else output.detach().requires_grad_()
        reached[path] = kept
        return kept.clone()  # what follows may work in place

    handles = []
    try:
        with torch.no_grad(), differentiable(recogniser):
            for layer in layers:
                hook = _hook(layer.path, keep)
                handles.append(layer.module(recogniser.net).register_forward_hook(hook))
            score = scored(*inputs).sum()
            values = [reached[layer.path] for layer in layers]
            gradients = torch.autograd.grad(score, values, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    seen = []
    for layer, value, gradient in zip(layers, values, gradients, strict=True):
        layout = layout_of(recogniser.net, layer, inputs[layer.input])
        slope = torch.zeros_like(value) if gradient is None else gradient
        seen.append(Seen(layer, layout, layout.features(value.detach()), layout.features(slope)))
    return seen


@contextmanager
def differentiable(recogniser: Recogniser) -> Iterator[None]:
    """Lets recurrent layers run backwards in evaluation mode, which cuDNN's do not."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in recogniser.net.modules())
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
        yield


def _hook(path: str, keep: Callable[[str, object], Tensor]) -> Callable[[object, object, object], Tensor]:
    return lambda _module, _inputs, output: keep(path, output)
